"""The residue network: what it does not see, and what it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fold_files import piece, write_hdf5
from torch_geometric.data import Batch

from mdgeomfeat import InputError, Structure
from mdgeomfeat.folds import read_domain, residue_graph, residue_tokens
from mdgeomfeat.folds.domains import Domain
from mdgeomfeat.folds.network import (
    NetworkSpec,
    ResidueNetwork,
    _dihedrals,
    residue_frames,
)
from mdgeomfeat.testing import random_rotation


def turned(seed: int) -> np.ndarray:
    return random_rotation(seed)


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "d1hvra1.hdf5"
    write_hdf5(path, piece("d1hvra1"))
    return read_domain(path)


def moved(domain: Domain, matrix, shift=0.0) -> Domain:
    positions = domain.positions @ np.asarray(matrix).T + shift
    return Domain(domain.name, domain.structure, positions)


def network(tokens="none", channels=0):
    torch.manual_seed(3)
    spec = NetworkSpec(
        n_classes=5, n_channels=16, n_layers=2, tokens=tokens, token_channels=channels
    )
    return ResidueNetwork(spec).double().eval()


def graph_of(domain, tokens="none", **options):
    made = residue_tokens(domain) if tokens != "none" else None
    graph = residue_graph(domain, tokens=made, **options)
    for name in ("backbone", "scalars", "vectors"):
        if name in graph:
            graph[name] = graph[name].double()
    return graph


def logits(model, *graphs):
    with torch.no_grad():
        return model(Batch.from_data_list(list(graphs))).numpy()


@pytest.fixture(scope="module")
def channels(domain):
    return residue_tokens(domain).scalars.shape[1]


@pytest.mark.parametrize("tokens", ["none", "scalars", "framed"])
def test_turning_and_moving_changes_nothing(domain, channels, tokens):
    model = network(tokens, channels if tokens != "none" else 0)
    here = logits(model, graph_of(domain, tokens))
    there = moved(domain, turned(0), [30.0, -20.0, 5.0])
    np.testing.assert_allclose(logits(model, graph_of(there, tokens)), here, atol=2e-5)
    assert np.abs(here).max() > 0.01


@pytest.mark.parametrize("tokens", ["none", "scalars", "framed"])
def test_the_mirror_image_is_another_protein(domain, channels, tokens):
    model = network(tokens, channels if tokens != "none" else 0)
    here = logits(model, graph_of(domain, tokens))
    there = logits(model, graph_of(moved(domain, np.diag([1, 1, -1])), tokens))
    assert np.abs(here - there).max() > 1e-3


def test_vectors_are_seen_from_the_residue(domain, channels):
    model = network("framed", channels)
    graph = graph_of(domain, "framed")
    other = graph.clone()
    other.vectors = graph.vectors @ torch.eye(channels).double() * -1
    assert np.abs(logits(model, graph) - logits(model, other)).max() > 1e-3


def test_the_order_of_nodes_does_not_matter(domain, channels):
    model = network("framed", channels)
    graph = graph_of(domain, "framed")
    order = torch.from_numpy(np.random.default_rng(1).permutation(graph.num_nodes))
    place = torch.argsort(order)
    other = graph.clone()
    for name in ("amino", "backbone", "framed", "scalars", "vectors"):
        other[name] = graph[name][order]
    other.edge_index = place[graph.edge_index]
    other.peptide_index = place[graph.peptide_index]
    np.testing.assert_allclose(logits(model, other), logits(model, graph), atol=1e-9)


def test_a_batch_is_its_proteins(domain, tmp_path):
    write_hdf5(tmp_path / "d1lmb41.hdf5", piece("d1lmb41"))
    other = graph_of(read_domain(tmp_path / "d1lmb41.hdf5"))
    one, model = graph_of(domain), network()
    both = logits(model, one, other)
    np.testing.assert_allclose(both[:1], logits(model, one), atol=1e-9)
    np.testing.assert_allclose(both[1:], logits(model, other), atol=1e-9)


def test_messages_vanish_at_the_cutoff(domain):
    model, far = network(), graph_of(domain)
    senders, receivers = far.edge_index
    alpha = far.backbone[:, 1]
    distance = (alpha[senders] - alpha[receivers]).norm(dim=1)
    edge = int(distance.argmax())
    # the farthest pair is put 1e-4 inside the cutoff, and then left out
    spec = model.spec
    close = ResidueNetwork(
        NetworkSpec(**{**spec.to_dict(), "cutoff": float(distance[edge]) + 1e-4})
    )
    close = close.double().eval()
    less = far.clone()
    ends = {int(senders[edge]), int(receivers[edge])}
    kept = torch.tensor(
        [{int(i), int(j)} != ends for i, j in zip(senders, receivers, strict=True)]
    )
    assert int((~kept).sum()) == 2
    for name in ("offset", "broken"):
        less[name] = far[name][kept]
    less.edge_index = far.edge_index[:, kept]
    np.testing.assert_allclose(logits(close, less), logits(close, far), atol=1e-6)


def test_edges_are_pairs_within_the_cutoff(domain):
    graph = residue_graph(domain, cutoff=8.0)
    alpha = domain.backbone[:, 1]
    distance = np.linalg.norm(alpha[:, None] - alpha, axis=-1)
    pairs = np.argwhere((distance < 8.0) & ~np.eye(len(alpha), dtype=bool))
    found = graph.edge_index.numpy().T
    assert sorted(map(tuple, found)) == sorted(map(tuple, pairs))
    np.testing.assert_array_equal(graph.offset.numpy(), found[:, 0] - found[:, 1])


def test_frames_are_right_handed_and_turn_with_the_backbone(domain):
    backbone = torch.from_numpy(domain.backbone)
    frames = residue_frames(backbone)
    eye = torch.eye(3, dtype=frames.dtype).expand(len(frames), 3, 3)
    torch.testing.assert_close(frames.transpose(1, 2) @ frames, eye)
    torch.testing.assert_close(torch.linalg.det(frames), eye[:, 0, 0])
    matrix = torch.from_numpy(turned(2))
    torch.testing.assert_close(residue_frames(backbone @ matrix.T), matrix @ frames)
    toward = ((backbone[:, 0] - backbone[:, 1])[:, None] @ frames)[:, 0]
    assert (toward[:, 1] > 0).all()
    torch.testing.assert_close(toward[:, 2], torch.zeros_like(toward[:, 2]))


def test_dihedrals_are_those_of_mdtraj(domain):
    import mdtraj

    atoms = piece("d1hvra1")
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for residue in atoms.residues:
        added = topology.add_residue(residue.resname, chain, residue.resid)
        for atom in residue.atoms & atoms:
            element = mdtraj.element.get_by_symbol(atom.element)
            topology.add_atom(atom.name, element, added)
    run = mdtraj.Trajectory(atoms.positions[None] / 10, topology)
    angles = [
        compute(run)[1][0]
        for compute in (mdtraj.compute_phi, mdtraj.compute_psi, mdtraj.compute_omega)
    ]
    graph = graph_of(domain)
    found = _dihedrals(graph.backbone, graph.framed, graph.peptide_index).numpy()
    for column, (angle, rows) in enumerate(
        zip(angles, (slice(1, None), slice(-1), slice(-1)), strict=True)
    ):
        pair = found[rows, 2 * column : 2 * column + 2]
        # files have three decimals, and mdtraj single precision
        np.testing.assert_allclose(pair[:, 0], np.cos(angle), atol=2e-3)
        np.testing.assert_allclose(pair[:, 1], np.sin(angle), atol=2e-3)
    assert not found[0, 0:2].any()
    assert not found[-1, 2:].any()


def test_a_residue_without_a_frame_takes_part(domain, tmp_path):
    atoms = piece("d1hvra1")
    lacking = atoms.select_atoms("not (resid 30 and name N)")
    write_hdf5(tmp_path / "less.hdf5", lacking)
    graph = graph_of(read_domain(tmp_path / "less.hdf5"))
    assert graph.framed.sum() == graph.num_nodes - 1
    model = network()
    here = logits(model, graph)
    assert np.isfinite(here).all()
    there = graph_of(moved(read_domain(tmp_path / "less.hdf5"), turned(4), 3.0))
    np.testing.assert_allclose(logits(model, there), here, atol=2e-5)


def test_gradients_are_finite_where_frames_are_missing(domain):
    graph = residue_graph(domain)
    graph.framed = torch.zeros_like(graph.framed)
    model = ResidueNetwork(NetworkSpec(n_classes=2, n_channels=8, n_layers=1))
    model(Batch.from_data_list([graph])).sum().backward()
    found = [p.grad for p in model.parameters() if p.grad is not None]
    assert found
    assert all(bool(torch.isfinite(g).all()) for g in found)


def test_tokens_are_those_of_the_transformer(domain):
    from mdgeomfeat import GeomGNNTransformer

    tokens = residue_tokens(domain)
    scalars, vectors = (
        GeomGNNTransformer(domain.structure).fit().encode(domain.positions[None])
    )
    np.testing.assert_array_equal(tokens.scalars, scalars[0])
    np.testing.assert_array_equal(tokens.joined[:, 1:], vectors[0])
    assert tokens.joined.shape == (domain.n_residues, 4, scalars.shape[-1])


def test_tokens_of_arrays_files_and_universes_agree(domain, tmp_path):
    from fold_files import write_pdb

    atoms = piece("d1hvra1")
    write_pdb(tmp_path / "one.pdb", atoms)
    structure = domain.structure
    arrays = (structure.numbers, domain.positions, structure.token_of_atom)
    import MDAnalysis as mda

    found = [
        residue_tokens(source).scalars
        for source in (domain, arrays, tmp_path / "one.pdb", mda.Merge(atoms))
    ]
    for other in found[1:]:
        error = np.linalg.norm(other - found[0]) / np.linalg.norm(found[0])
        assert error < 1e-3  # the file has three decimals


@pytest.mark.parametrize("source", [3, (1, 2)])
def test_what_is_no_protein_is_refused(source):
    with pytest.raises(InputError, match="protein"):
        residue_tokens(source)


def test_what_does_not_fit_is_refused(domain):
    tokens = residue_tokens(domain)
    short = tokens._replace(scalars=tokens.scalars[1:])
    with pytest.raises(InputError, match="there are tokens of"):
        residue_graph(domain, tokens=short)
    bare = Structure.from_arrays([6, 7], [0, 0], names=["C", "N"])
    with pytest.raises(InputError, match="no residue with a carbon alpha"):
        residue_graph(Domain("bare", bare, np.eye(2, 3)))
    with pytest.raises(InputError, match="tokens='all' is unknown"):
        NetworkSpec(n_classes=2, tokens="all")
    with pytest.raises(InputError, match="token_channels=0 does not go"):
        NetworkSpec(n_classes=2, tokens="scalars")
