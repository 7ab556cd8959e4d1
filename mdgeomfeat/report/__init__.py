"""Figures and the page that shows what a study found."""
