"""What edges of the Equivariant Transformer hand back, on vectors of lanes.

Gradients by what the nodes sent, and by the distances and directions of the pairs; see
:mod:`mdgeomfeat.gnn.engine.cpu.et_gradient_kernels` for the arrays.
"""

from __future__ import annotations

from mdgeomfeat.gnn.engine.cpu.kernels import (
    add_product,
    interpolate,
    spline_weights,
)
from mdgeomfeat.gnn.engine.cpu.simd import (
    fold,
    join,
    load,
    lower_half,
    muladd,
    repeat,
    sigmoid,
    size,
    spread,
    store,
    sum_lanes,
    upper_half,
)
from mdgeomfeat.jit import cached_njit

__all__ = ["own_back", "pair_back"]


@cached_njit()
def own_back(n, weights, work, sent, layer, with_self, C, wide, head, one):
    """Set the gradients by projections to those of the edges of atoms to themselves."""
    width = size(wide)
    own, f = weights.own, layer * 4 * C
    for i in range(n):
        p, g = i * 5 * C, i * C
        if not with_self:
            for b in range(0, 5 * C, width):
                store(work.projected, p + b, wide)
            continue
        attention = by_weight = head
        for b in range(0, C, width):
            q = load(sent.projected, p + b, wide)
            k = load(sent.projected, p + C + b, wide) * load(own, f + b, wide)
            attention = attention + fold(q * k, head)
            s = load(sent.projected, p + 2 * C + b, wide)
            s = s * load(own, f + C + b, wide) * load(work.gathered, g + b, wide)
            by_weight = by_weight + fold(s, head)
        squash = sigmoid(attention)
        weight = attention * squash
        slope = muladd(weight, one - squash, squash)
        by_attention = repeat(by_weight * slope, wide)
        weights_here = repeat(weight, wide)
        for b in range(0, C, width):
            key_filter = load(own, f + b, wide) * by_attention
            q = load(sent.projected, p + b, wide)
            k = load(sent.projected, p + C + b, wide)
            store(work.projected, p + b, k * key_filter)
            store(work.projected, p + C + b, q * key_filter)
            s = load(work.gathered, g + b, wide) * load(own, f + C + b, wide)
            store(work.projected, p + 2 * C + b, s * weights_here)
            store(work.projected, p + 3 * C + b, wide)
            if layer == 0:
                store(work.projected, p + 4 * C + b, wide)
                continue
            vector_filter = load(own, f + 3 * C + b, wide)
            gate = load(sent.projected, p + 4 * C + b, wide) * vector_filter
            dot = wide
            for k in range(3):
                at = (3 * i + k) * C + b
                by_v = load(work.pulled, at, wide)
                dot = muladd(by_v, load(sent.vectors, at, wide), dot)
                add_product(work.vectors, at, by_v, gate)
            store(work.projected, p + 4 * C + b, dot * vector_filter)


@cached_njit()
def pair_back(n, graph, table, slopes, work, sent, table_at, layer, C, wide, head, one):
    """Add what each pair hands back, to both atoms and to its distance and direction.

    `one` holds ones in twice as many lanes as there are heads.
    """
    width = size(wide)
    projected, vectors = sent.projected, sent.vectors
    by_p, by_g, by_v, pulled = (
        work.projected,
        work.gathered,
        work.vectors,
        work.pulled,
    )
    row = 4 * C
    for i in range(n):
        pi, gi, vi = i * 5 * C, i * C, i * 3 * C
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            pj, gj, vj = j * 5 * C, j * C, j * 3 * C
            at = table_at + graph.interval[e] * row
            spline = spline_weights(graph, e, wide)
            to_i = to_j = by_i = by_j = head
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, spline, wide)
                q = load(projected, pi + b, wide) * f
                to_i = to_i + fold(q * load(projected, pj + C + b, wide), head)
                q = load(projected, pj + b, wide) * f
                to_j = to_j + fold(q * load(projected, pi + C + b, wide), head)
                f = interpolate(table, at + C + b, row, spline, wide)
                s = load(by_g, gi + b, wide) * f
                by_i = by_i + fold(s * load(projected, pj + 2 * C + b, wide), head)
                s = load(by_g, gj + b, wide) * f
                by_j = by_j + fold(s * load(projected, pi + 2 * C + b, wide), head)
            both = join(to_i, to_j)
            squash = sigmoid(both)
            both = both * squash
            slope = muladd(both, one - squash, squash) * join(by_i, by_j)
            weight_i = repeat(lower_half(both), wide)
            weight_j = repeat(upper_half(both), wide)
            slope_i = repeat(lower_half(slope), wide)
            slope_j = repeat(upper_half(slope), wide)
            x = spread(graph.direction, 3 * e, wide)
            y = spread(graph.direction, 3 * e + 1, wide)
            z = spread(graph.direction, 3 * e + 2, wide)
            by_r = by_x = by_y = by_z = wide
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, spline, wide)
                qi = load(projected, pi + b, wide) * slope_i
                qj = load(projected, pj + b, wide) * slope_j
                ki = load(projected, pi + C + b, wide)
                kj = load(projected, pj + C + b, wide)
                add_product(by_p, pi + b, kj * slope_i, f)
                add_product(by_p, pj + b, ki * slope_j, f)
                add_product(by_p, pi + C + b, qj, f)
                add_product(by_p, pj + C + b, qi, f)
                f = interpolate(slopes, at + b, row, spline, wide)
                by_r = muladd(muladd(qi, kj, qj * ki), f, by_r)

                f = interpolate(table, at + C + b, row, spline, wide)
                mi = load(by_g, gi + b, wide) * weight_i
                mj = load(by_g, gj + b, wide) * weight_j
                add_product(by_p, pi + 2 * C + b, mj, f)
                add_product(by_p, pj + 2 * C + b, mi, f)
                f = interpolate(slopes, at + C + b, row, spline, wide)
                si = load(projected, pi + 2 * C + b, wide)
                sj = load(projected, pj + 2 * C + b, wide)
                by_r = muladd(muladd(mi, sj, mj * si), f, by_r)

                f = interpolate(table, at + 2 * C + b, row, spline, wide)
                ix = load(pulled, vi + b, wide)
                iy = load(pulled, vi + C + b, wide)
                iz = load(pulled, vi + 2 * C + b, wide)
                jx = load(pulled, vj + b, wide)
                jy = load(pulled, vj + C + b, wide)
                jz = load(pulled, vj + 2 * C + b, wide)
                along_i = muladd(ix, x, muladd(iy, y, iz * z))
                along_j = wide - muladd(jx, x, muladd(jy, y, jz * z))
                add_product(by_p, pi + 3 * C + b, along_j, f)
                add_product(by_p, pj + 3 * C + b, along_i, f)
                di = load(projected, pi + 3 * C + b, wide)
                dj = load(projected, pj + 3 * C + b, wide)
                fi, fj = f * di, f * dj
                by_x = by_x + (ix * fj - jx * fi)
                by_y = by_y + (iy * fj - jy * fi)
                by_z = by_z + (iz * fj - jz * fi)
                f = interpolate(slopes, at + 2 * C + b, row, spline, wide)
                by_r = muladd(muladd(along_i, dj, along_j * di), f, by_r)
                if layer == 0:
                    continue

                f = interpolate(table, at + 3 * C + b, row, spline, wide)
                gate_i = load(projected, pi + 4 * C + b, wide)
                gate_j = load(projected, pj + 4 * C + b, wide)
                dot_i = ix * load(vectors, vj + b, wide)
                dot_i = muladd(iy, load(vectors, vj + C + b, wide), dot_i)
                dot_i = muladd(iz, load(vectors, vj + 2 * C + b, wide), dot_i)
                dot_j = jx * load(vectors, vi + b, wide)
                dot_j = muladd(jy, load(vectors, vi + C + b, wide), dot_j)
                dot_j = muladd(jz, load(vectors, vi + 2 * C + b, wide), dot_j)
                add_product(by_p, pi + 4 * C + b, dot_j, f)
                add_product(by_p, pj + 4 * C + b, dot_i, f)
                share = f * gate_j
                add_product(by_v, vj + b, ix, share)
                add_product(by_v, vj + C + b, iy, share)
                add_product(by_v, vj + 2 * C + b, iz, share)
                share = f * gate_i
                add_product(by_v, vi + b, jx, share)
                add_product(by_v, vi + C + b, jy, share)
                add_product(by_v, vi + 2 * C + b, jz, share)
                f = interpolate(slopes, at + 3 * C + b, row, spline, wide)
                by_r = muladd(muladd(dot_i, gate_j, dot_j * gate_i), f, by_r)
            work.distance[e] += sum_lanes(by_r)
            work.direction[3 * e] += sum_lanes(by_x)
            work.direction[3 * e + 1] += sum_lanes(by_y)
            work.direction[3 * e + 2] += sum_lanes(by_z)
