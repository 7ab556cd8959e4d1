"""Pre-training by denoising: data sets, task, trainer, model cards."""
