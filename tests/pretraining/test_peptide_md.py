import numpy as np
import pytest

pytest.importorskip("openmm")
pytest.importorskip("PeptideBuilder")
pytest.importorskip("rdkit")

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.exclusion import (
    HELD_OUT_PAIRS,
    LETTERS,
    RESIDUES,
    SIDE_CHAINS,
    excluded_keys,
    peptide_smiles,
)
from mdgeomfeat.pretraining.molecules import key_from_coordinates, key_of_smiles
from mdgeomfeat.pretraining.peptide_md import (
    PeptideSettings,
    _sequences,
    peptides,
    simulate_peptide,
)


def quick(sequence, residues=None):
    numbers, positions = simulate_peptide(
        sequence, residues=residues, shake=0.0, n_frames=1, interval=0.02
    )
    return numbers, positions


@pytest.mark.parametrize("names", [["ASH", "LYN"], ["HIP", "PRO"], ["GLH", "HID"]])
def test_protonation_states_are_built_as_their_smiles_say(names):
    letter = {"ASH": "D", "LYN": "K", "HIP": "H", "HID": "H", "GLH": "E", "PRO": "P"}
    numbers, positions = quick("".join(letter[n] for n in names), names)
    key = key_from_coordinates(numbers, positions[0])
    assert key == key_of_smiles(peptide_smiles(names))


@pytest.mark.slow
def test_every_amino_acid_is_what_its_smiles_says():
    assert set(RESIDUES) - {"PRO"} <= set(SIDE_CHAINS)
    for letter, name in zip(LETTERS, RESIDUES, strict=True):
        numbers, positions = quick(letter, [name])
        key = key_from_coordinates(numbers, positions[0])
        assert key == key_of_smiles(peptide_smiles([name])), name


def test_frames_move():
    source = peptides(
        PeptideSettings(length=1, n_peptides=1, n_frames=4, shake=0.2, interval=0.2)
    )
    (molecule,) = source.molecules
    assert len(molecule.positions) == 4
    steps = np.abs(np.diff(molecule.positions, axis=0)).mean(axis=(1, 2))
    assert (steps > 0.02).all()
    assert molecule.key not in excluded_keys()


def test_no_held_out_pair_is_ever_drawn():
    for length in (1, 2, 3, 6):
        drawn = _sequences(PeptideSettings(length=length, n_peptides=380))
        assert len(drawn) == len(set(drawn))
        assert not {"A", "G", "WLALL"} & set(drawn)
        for sequence in drawn:
            pairs = {sequence[i : i + 2] for i in range(length - 1)}
            assert not pairs & HELD_OUT_PAIRS
    assert len(_sequences(PeptideSettings(length=1, n_peptides=99))) == 18
    assert len(_sequences(PeptideSettings(length=2, n_peptides=999))) == 360
    held = _sequences(PeptideSettings(n_peptides=99, held_out=True))
    assert sorted(held) == sorted(HELD_OUT_PAIRS)


def test_mistakes_are_explained():
    with pytest.raises(InputError, match="choose any or one of helix"):
        PeptideSettings(backbone="sheet")
    with pytest.raises(InputError, match="at least 1"):
        PeptideSettings(length=0)
