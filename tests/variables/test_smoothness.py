"""Jumps at the cutoff are found wherever they are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mdgeomfeat.variables import jump_at_cutoff


class Counting(nn.Module):
    """Features of 1, and more for whatever is counted of an atom's neighbours."""

    spec = SimpleNamespace(cutoff=5.0)

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, numbers, edges):
        scalars = torch.ones(len(numbers), 2, dtype=torch.float64)
        for atom in range(len(numbers)):
            own = edges.sender[edges.receiver == atom]
            scalars[atom] += self.count(int(numbers[atom]), numbers[own].tolist())
        return scalars, torch.zeros(len(numbers), 3, 2, dtype=torch.float64)


def test_every_pair_of_elements_is_tried():
    oxygens = Counting(lambda mine, others: 0.1 * (mine == 8) * others.count(8))
    # both atoms lose a tenth of 1.1 (beside carbon), in two channels
    assert jump_at_cutoff(oxygens, [6, 8]) == pytest.approx(0.1 / 1.1)
    assert jump_at_cutoff(oxygens, [6]) == 0
    one_way = Counting(lambda mine, others: 0.1 * (mine == 8) * others.count(6))
    assert jump_at_cutoff(one_way, [6, 8]) > 0.05
    other_way = Counting(lambda mine, others: 0.1 * (mine == 6) * others.count(8))
    assert jump_at_cutoff(other_way, [6, 8]) > 0.05


def test_an_atom_with_company_is_tried():
    crowded = Counting(lambda _, others: 0.5 * (len(others) > 3))
    assert jump_at_cutoff(crowded, [6]) > 0.1
    # the atom alone has neither of these
    lonely = Counting(lambda _, others: 0.5 * (not others))
    assert jump_at_cutoff(lonely, [6]) > 0.1


def test_what_depends_on_no_neighbour_does_not_jump():
    assert jump_at_cutoff(Counting(lambda mine, _: mine), [6, 7, 8]) == 0
