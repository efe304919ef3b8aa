"""Scaled dot-product attention (iOS 18)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation


def _attention(call: Call) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        call.tensor("query"), call.tensor("key"), call.tensor("value"), attn_mask=call.maybe("attn_mask")
    )


OPS: dict[str, Implementation] = {"scaled_dot_product_attention": _attention}
