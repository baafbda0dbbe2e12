"""Interactions of fields: products, attention, selection. A row is ``[n, C, e]``, C fields of e."""

from typing import Literal

import torch
from torch import Tensor, nn

from counterpoint.errors import UserError

AT_A_TIME = 4096  # rows whose products of all maps and fields are held together
HEADS = 2  # of the attention among fields; PHN does not say

CrossForm = Literal["phn", "dcn_v2"]
FieldForm = Literal["phn", "fint"]


class CrossLayer(nn.Module):
    """A layer of a cross network on the numbers of all fields, ``x_0, x [n, d]`` to ``[n, d]``.

    ``dcn_v2`` (Wang et al. 2021, eq. 1): ``x_0 * (x W + b) + x``. ``phn`` adds DCN's vector and
    makes the residual trainable: ``x_0 * (x W) + x_0 <w, x> + b + r * x``, r = 1 at the start.
    """

    def __init__(self, d: int, form: CrossForm) -> None:
        super().__init__()
        self.form = form
        self.matrix = nn.Linear(d, d, bias=False)
        self.bias = nn.Parameter(torch.zeros(d))
        if form == "phn":
            self.vector = nn.Linear(d, 1, bias=False)
            self.residual = nn.Parameter(torch.ones(d))

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        """The next layer ``[n, d]`` for the lowest and the last one."""
        product: Tensor = self.matrix(x)
        if self.form == "dcn_v2":
            return x0 * (product + self.bias) + x
        both: Tensor = product + self.vector(x)
        return x0 * both + self.bias + self.residual * x


class FieldLayer(nn.Module):
    """A layer of products field by field, ``V_0, V [n, C, e]`` to ``[n, C, e]``.

    With ``W [C, C]`` mixing fields and a trainable residual a field, 1 at the start: ``phn`` is
    ``V_0 * (W V) + diag(w) V``, ``fint`` (Zhao et al. 2021) ``V * (W V_0) + diag(w) V``.
    """

    def __init__(self, fields: int, form: FieldForm) -> None:
        super().__init__()
        self.form = form
        self.matrix = nn.Linear(fields, fields, bias=False)
        self.residual = nn.Parameter(torch.ones(fields, 1))

    def forward(self, v0: Tensor, v: Tensor) -> Tensor:
        """The next layer ``[n, C, e]`` for the lowest and the last one."""
        factor, mixed = (v0, v) if self.form == "phn" else (v, v0)
        # fields last: one matrix product, not one a row
        product: Tensor = self.matrix(mixed.transpose(1, 2)).transpose(1, 2)
        return factor * product + self.residual * v


class CrossNetwork(nn.Module):
    """Cross layers on top of each other: ``[n, C, e]`` to ``[n, C e]``."""

    def __init__(self, d: int, layers: int, form: CrossForm) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(d, form) for _ in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """The last layer ``[n, C e]``."""
        x0 = x = tokens.flatten(1)
        for layer in self.layers:
            x = layer(x0, x)
        return x


class FieldNetwork(nn.Module):
    """Field layers on top of each other: ``[n, C, e]`` to ``[n, C e]``."""

    def __init__(self, fields: int, layers: int, form: FieldForm) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FieldLayer(fields, form) for _ in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """The last layer ``[n, C e]``."""
        v = tokens
        for layer in self.layers:
            v = layer(tokens, v)
        return v.flatten(1)


class FieldAttention(nn.Module):
    """Self-attention among the fields of a row, ``softmax(Q K^T / sqrt(d_k)) V``, no residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % HEADS:
            raise UserError(
                f"train.encoder.field_width: {width} is not a multiple of {HEADS} attention heads"
            )
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, tokens: Tensor) -> Tensor:
        """``[n, C, e]`` to the same shape, the heads side by side."""
        q, k, v = (
            made(tokens).unflatten(-1, (HEADS, -1)) for made in (self.query, self.key, self.value)
        )
        # scaled before the product: after it there are C times as many numbers over d
        logits = torch.einsum("nchd,nfhd->nhcf", q / q.shape[-1] ** 0.5, k)
        return torch.einsum("nhcf,nfhd->nchd", logits.softmax(-1), v).flatten(2)


class SoftSelection(nn.Module):
    """Soft selection gating (DEPHN eq. 1): ``g * attended + (1 - g) * tokens``, g = sigmoid(.).

    A gate for each number of each field, half open at the start.
    """

    def __init__(self, fields: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(fields, width))

    def forward(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """``[n, C, e]`` of the fields and of the attention among them, to the same shape."""
        gate = torch.sigmoid(self.gate)
        return gate * attended + (1 - gate) * tokens


class PooledProducts(nn.Module):
    """``sum_{c < f} v_c * v_f``, NFM's pooling: ``[n, C, e]`` to ``[n, e]`` (eq. 3 and 4)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """In the number of fields, by the square of the sum."""
        found: Tensor = (tokens.sum(1).square() - tokens.square().sum(1)) / 2
        return found


class CompressedInteraction(nn.Module):
    """xDeepFM's compressed interaction network: ``[n, C, e]`` to ``[n, layers * maps]``.

    ``X'_k = sum_{h, c} W_khc X_h * V_c`` from X = V; each layer's maps are summed over e (eq. 6
    to 8). Activations are the identity, as where the paper reports it best.
    """

    def __init__(self, fields: int, layers: int, maps: int) -> None:
        super().__init__()
        below = [fields] + [maps] * layers
        self.layers = nn.ModuleList(nn.Linear(h * fields, maps, bias=False) for h in below[:layers])

    def forward(self, tokens: Tensor) -> Tensor:
        """Sums of all layers' maps, lowest first; some rows at a time."""
        return torch.cat([self._some(rows) for rows in torch.split(tokens, AT_A_TIME)])

    def _some(self, tokens: Tensor) -> Tensor:
        v = x = tokens.transpose(1, 2)  # maps last: one matrix product a layer
        sums = [tokens.new_zeros(len(tokens), 0)]
        for layer in self.layers:
            x = layer((x.unsqueeze(-1) * v.unsqueeze(-2)).flatten(2))
            sums.append(x.sum(1))
        return torch.cat(sums, dim=1)
