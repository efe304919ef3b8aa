"""Reading images at computed places: grids, affine maps, boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation, require_indices

_PADDING = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}


def _resample(call: Call) -> torch.Tensor:
    x, grid = call.tensor("x"), call.tensor("coordinates").float()
    kind, how, mode = (
        call.text(name).lower() for name in ("coordinates_mode", "padding_mode", "sampling_mode")
    )  # fmt: skip
    if how not in _PADDING:
        raise call.error(f"has padding_mode {how!r}, which is none")
    sizes = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)  # width first, as the coordinates
    pixels = _pixels(grid, kind, sizes, call.flag("align_corners"))
    value = call.number("padding_value", 0.0) if how == "constant" else 0.0
    # Reflection about the first and last pixel leaves them out; about the image's edges it repeats them.
    edges = how == "symmetric"
    made = F.grid_sample(x - value, _normalized(pixels, sizes, edges), mode, _PADDING[how], align_corners=not edges)
    return made + value


def _pixels(grid: torch.Tensor, kind: str, sizes: torch.Tensor, aligned: bool) -> torch.Tensor:
    """Return coordinates in pixels: 0 is the middle of the first, size - 1 that of the last."""
    if kind == "unnormalized":
        return grid
    unit = (grid + 1) / 2 if kind == "normalized_minus_one_to_one" else grid
    return unit * (sizes - 1) if aligned else unit * sizes - 0.5


def _normalized(pixels: torch.Tensor, sizes: torch.Tensor, edges: bool) -> torch.Tensor:
    """Return pixels as torch's grid_sample takes them: from -1 to 1, between middles or, with ``edges``, edges."""
    if edges:
        return (2 * pixels + 1) / sizes - 1
    return 2 * pixels / (sizes - 1).clamp_min(1) - 1


def _affine(call: Call) -> torch.Tensor:
    x, matrix = call.tensor("x"), call.tensor("transform_matrix")
    height, width = call.integer("output_height"), call.integer("output_width")
    theta = matrix.reshape(-1, 2, 3).expand(x.shape[0], 2, 3)
    grid = F.affine_grid(theta, [x.shape[0], x.shape[1], height, width], align_corners=True)
    return F.grid_sample(x, grid, "bilinear", "zeros", align_corners=True)


def _crop_resize(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    if call.has("boxes"):  # iOS 17
        boxes = call.tensor("boxes").float()
        which = call.integers("box_indices", list(range(len(boxes))))
        require_indices(call, torch.tensor(which), x.shape[0], negative=False)
        return torch.stack([_cropped(call, x[index], box) for index, box in zip(which, boxes, strict=True)])
    roi = call.tensor("roi")
    rows = roi.reshape(roi.shape[0], -1)
    if rows.shape[1] == 5:
        return torch.stack([_cropped(call, x[int(row[0])], row[1:])[None] for row in rows])
    return torch.stack([torch.stack([_cropped(call, image, row) for image in x]) for row in rows])


def _cropped(call: Call, image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """Return the part of ``image`` [C, H, W] in ``box``, resized."""
    height, width = image.shape[-2:]
    top, left, bottom, right = _corners(call, box)
    if call.flag("normalized_coordinates", False):
        top, bottom, left, right = top * (height - 1), bottom * (height - 1), left * (width - 1), right * (width - 1)
    mode = call.text("sampling_mode", "DEFAULT")
    if mode not in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        raise call.unsupported(f"boxes with the sampling mode {mode}, whose places are not documented")
    rows = _places(top, bottom, call.integer("target_height", 1), mode)
    columns = _places(left, right, call.integer("target_width", 1), mode)
    return _read(image, rows, columns, call.number("pad_value", 0.0))


def _corners(call: Call, box: torch.Tensor) -> list[float]:
    a, b, c, d = (float(each) for each in box * call.number("spatial_scale", 1.0))
    mode = call.text("box_coordinate_mode", "CORNERS_HEIGHT_FIRST")
    if mode.endswith("WIDTH_FIRST"):
        a, b, c, d = b, a, d, c
    if mode.startswith("CENTER_SIZE"):
        return [a - c / 2, b - d / 2, a + c / 2, b + d / 2]
    return [a, b, c, d]


def _places(low: float, high: float, target: int, mode: str) -> torch.Tensor:
    """Return where along an axis the box from ``low`` to ``high`` is read, from corner to corner."""
    if target == 1:
        return torch.tensor([(low + high) / 2 if mode == "ALIGN_CORNERS" else low], dtype=torch.float64)
    return low + torch.arange(target, dtype=torch.float64) * ((high - low) / (target - 1))


def _read(image: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, value: float) -> torch.Tensor:
    height, width = image.shape[-2:]
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1)[None].float()
    sizes = torch.tensor([width, height], dtype=torch.float32)
    near = grid.clamp(torch.zeros(2), sizes - 1)
    made = F.grid_sample(image[None], _normalized(near, sizes, False), "bilinear", "border", align_corners=True)[0]
    outside = ((grid < 0) | (grid > sizes - 1)).any(-1)[0]
    return torch.where(outside, torch.tensor(value), made)


OPS: dict[str, Implementation] = {"resample": _resample, "affine": _affine, "crop_resize": _crop_resize}
