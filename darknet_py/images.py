"""Pictures: reading them, and the core's operations on planar arrays.

A planar picture is a float32 array (c, h, w) with values 0..1, channel 0 red. Every function returns a new
array and leaves its arguments alone. Impossible sizes or shapes raise ImageError, which is a ValueError.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .errors import ImageError, ImageFileError, ImageNotFoundError, check

if TYPE_CHECKING:
    from PIL import Image

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]

ORIENTATION = 0x0112  # tag of EXIF; values from 5 on exchange width and height
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


# ---- reading and writing ----------------------------------------------------------------------------


def load(image: Any, *, bgr: bool = False, channels: int = 3) -> Floats:
    """A picture as a planar float32 array (channels, h, w) with values 0..1.

    image: path, encoded bytes, PIL image, or numpy array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), uint8 or
    float 0..1. An EXIF orientation is applied, alpha is dropped. bgr: channels of an array are blue, green,
    red. channels: 3 (RGB) or 1 (grey, .299 .587 .114). Raises ImageError.
    """
    return planar(read(image, bgr=bgr), channels)


def read(image: Any, *, bgr: bool = False, least: int | None = None) -> Pixels:
    """The upright picture as an interleaved RGB array (h, w, 3): uint8, or float32 if it was given as floats.

    Takes what load takes, and raises what load raises. least: a JPEG file may come at a half, a quarter or an
    eighth of its size, as long as no side has fewer pixels than this; that is quicker.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, bgr)
    from PIL import Image

    if isinstance(image, Image.Image):
        return _from_pil(image, "PIL image")
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(BytesIO(image), f"{len(image)} bytes")
    if isinstance(image, (str, os.PathLike)):
        name = os.fspath(image)
        try:
            with Path(name).open("rb") as file:
                return _decode(file, str(name), least)
        except FileNotFoundError:
            raise ImageNotFoundError(f"{name}: no such file") from None
        except (OSError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageFileError(f"{name}: {error}") from error
    raise ImageError(f"an image is a path, bytes, PIL image or numpy array, not {type(image).__name__}")


def format_of(path: str | os.PathLike[str]) -> str | None:
    """Pillow's name of the format that a file's suffix stands for; None for others."""
    from PIL import Image

    suffix = Path(path).suffix.lower()
    Image.preinit()  # the common formats; all of them take as long to load as a small network
    return Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a picture file as read gives it, from its header alone. Raises ImageError."""
    from PIL import Image

    name = os.fspath(path)
    try:
        with Image.open(name) as picture:
            width, height = picture.size
            return (height, width) if picture.getexif().get(ORIENTATION, 1) >= 5 else (width, height)
    except FileNotFoundError:
        raise ImageNotFoundError(f"{name}: no such file") from None
    except Exception as error:  # as in _decode
        raise ImageError(f"{name}: {error}") from error


def planar(pixels: Pixels, channels: int = 3) -> Floats:
    """What read gives, as a planar array (channels, h, w); channels is 3 or 1."""
    if channels not in (1, 3):
        raise ImageError(f"pictures have 3 channels, or 1 when grey; this network wants {channels}")
    height, width, found = pixels.shape
    if pixels.dtype == np.uint8:
        source = np.ascontiguousarray(pixels)
        result = np.empty((found, height, width), np.float32)
        check(lib.dn_image_from_bytes(_out(result), _bytes(source), width, height, found, 0))
    else:
        result = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
    if channels == 1:
        result = np.tensordot(_GREY, result, 1)[None]
    return result


def to_pil(image: Any) -> Image.Image:
    """An 8-bit RGB PIL image of anything load accepts, or of a planar array (3, h, w) or (1, h, w)."""
    from PIL import Image

    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        source = _planar(image)
        channels, height, width = source.shape
        if channels not in (1, 3):
            raise ImageError(f"expected 1 or 3 channels, found shape {image.shape}")
        pixels = np.empty((height, width, channels), np.uint8)
        check(lib.dn_image_to_bytes(_bytes(pixels), _in(source), width, height, channels))
        pixels = np.repeat(pixels, 3, 2) if channels == 1 else pixels
    else:
        pixels = to_bytes(read(image))
    return Image.fromarray(pixels)


def to_bytes(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """What read gives, as uint8."""
    if pixels.dtype == np.uint8:
        return pixels
    rounded: npt.NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return rounded


def save(image: Any, path: str | os.PathLike[str]) -> None:
    """Writes a picture (anything to_pil accepts) in the format its suffix names, whole or not at all."""
    from PIL import Image

    target = Path(path)
    picture = image if isinstance(image, Image.Image) else to_pil(image)
    kind = format_of(target)
    if kind is None:
        raise ImageError(f"{target}: unknown picture format {target.suffix!r}; use .png or .jpg")
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                picture.save(file, kind)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ImageFileError(f"{target}: {error.strerror or error}") from error


def _decode(file: Any, name: str, least: int | None = None) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            if least:
                picture.draft(None, (least, least))
            picture.load()
            return _from_pil(picture, name)
    except ImageError:
        raise
    except UnidentifiedImageError:
        file.seek(0)
        reason = "no picture in a known format" if file.read(1) else "the file is empty"
        raise ImageError(f"{name}: {reason}") from None
    # Pillow's decoders fail in their own ways (OSError, SyntaxError, struct.error, DecompressionBombError
    # ...).
    except Exception as error:
        raise ImageError(f"{name}: {error}") from error


def _from_pil(picture: Image.Image, name: str) -> Pixels:
    from PIL import ImageOps

    if picture.width == 0 or picture.height == 0:
        raise ImageError(f"{name}: the picture is empty ({picture.width} x {picture.height})")
    try:
        upright = ImageOps.exif_transpose(picture)
    except Exception:
        upright = picture  # damaged EXIF data says nothing about the orientation
    if upright.mode == "F":
        return _from_array(np.asarray(upright), False)
    if upright.mode.startswith("I"):  # 16 bits per pixel; converting to RGB would clip them at 255
        wide = np.asarray(upright).astype(np.float32) / 65535
        return _from_array(wide, False)
    try:
        return np.asarray(upright.convert("RGB"))
    except Exception as error:
        raise ImageError(f"{name}: {error}") from error


def _from_array(array: Pixels, bgr: bool) -> Pixels:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"expected an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), found {array.shape}")
    if 0 in array.shape:
        raise ImageError(f"the picture is empty: {array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32)
        low, high = float(array.min()), float(array.max())
        if not (low >= -1 and high <= 2):  # NaN, too, ends here; some overshoot of a resize may pass
            raise ImageError(
                f"float pictures have values 0..1, found {low:g}..{high:g}; use uint8 for 0..255"
            )
    elif array.dtype != np.uint8:
        raise ImageError(f"expected uint8 or float values, found {array.dtype}")
    if array.shape[2] == 1:
        return np.repeat(array, 3, 2)
    array = array[:, :, :3]
    return array[:, :, ::-1] if bgr else array


# ---- operations on planar arrays ----------------------------------------------------------------------


def resize(image: Floats, w: int, h: int) -> Floats:
    """The picture (c, h, w) scaled to w x h: bilinear with aligned corners, as Darknet does."""
    source, result = _pair(image, w, h)
    check(lib.dn_image_resize(_out(result), w, h, _in(source), *_size(source)))
    return result


def letterbox(image: Floats, w: int, h: int) -> Floats:
    """The picture scaled to fit w x h with its aspect ratio kept, centred on grey (.5)."""
    source, result = _pair(image, w, h)
    check(lib.dn_image_letterbox(_out(result), w, h, _in(source), *_size(source)))
    return result


def crop(image: Floats, dx: int, dy: int, w: int, h: int) -> Floats:
    """The w x h window whose top left corner is (dx, dy); outside the picture its edge is repeated."""
    source, result = _pair(image, w, h)
    check(lib.dn_image_crop(_out(result), w, h, dx, dy, _in(source), *_size(source)))
    return result


def rotate_crop(
    image: Floats, rad: float, s: float, w: int, h: int, dx: float = 0, dy: float = 0, aspect: float = 1
) -> Floats:
    """A w x h window of the picture turned by rad radians and scaled by s about its centre; 0 outside."""
    source, result = _pair(image, w, h)
    check(lib.dn_image_rotate_crop(_out(result), w, h, rad, s, dx, dy, aspect, _in(source), *_size(source)))
    return result


def flip(image: Floats) -> Floats:
    """The picture mirrored left to right."""
    result = _planar(image, copy=True)
    check(lib.dn_image_flip(_out(result), *_size(result)))
    return result


def rgb_to_hsv(image: Floats) -> Floats:
    """Hue, saturation and value, each 0..1, of an RGB picture (3, h, w)."""
    result = _planar(image, copy=True, channels=3)
    check(lib.dn_image_rgb_to_hsv(_out(result), *_size(result)[:2]))
    return result


def hsv_to_rgb(image: Floats) -> Floats:
    """The inverse of rgb_to_hsv."""
    result = _planar(image, copy=True, channels=3)
    check(lib.dn_image_hsv_to_rgb(_out(result), *_size(result)[:2]))
    return result


hsv = rgb_to_hsv


def distort(image: Floats, hue: float, sat: float, val: float) -> Floats:
    """The RGB picture with hue shifted, saturation and value multiplied, clamped to 0..1."""
    result = _planar(image, copy=True, channels=3)
    check(lib.dn_image_distort(_out(result), *_size(result)[:2], hue, sat, val))
    return result


def place(image: Floats, w: int, h: int, dx: int, dy: int, canvas: Floats) -> Floats:
    """A copy of canvas (c, H, W) with the picture, scaled to w x h, drawn at (dx, dy)."""
    source, result = _planar(image), _planar(canvas, copy=True)
    if source.shape[0] != result.shape[0]:
        raise ImageError(f"expected a canvas of {source.shape[0]} channels, found {result.shape[0]}")
    width, height, _ = _size(result)
    columns, rows, channels = _size(source)
    check(
        lib.dn_image_place(
            _out(result),
            width,
            height,
            int(w),
            int(h),
            int(dx),
            int(dy),
            _in(source),
            columns,
            rows,
            channels,
        )
    )
    return result


def _planar(image: Any, *, copy: bool = False, channels: int | None = None) -> Floats:
    array = np.array(image, np.float32, order="C") if copy else np.ascontiguousarray(image, np.float32)
    if array.ndim != 3 or 0 in array.shape or (channels is not None and array.shape[0] != channels):
        raise ImageError(f"expected a planar picture ({channels or 'c'}, h, w), found {array.shape}")
    return array


def _pair(image: Any, w: int, h: int) -> tuple[Floats, Floats]:
    """The source as C wants it, and room for a result of w x h."""
    source = _planar(image)
    if not (0 < w < 1 << 31 and 0 < h < 1 << 31):
        raise ImageError(f"impossible picture size {w} x {h}")
    return source, np.empty((source.shape[0], h, w), np.float32)


def _size(image: Floats) -> tuple[int, int, int]:
    channels, height, width = image.shape
    return width, height, channels


def _in(array: Floats) -> Any:
    return ffi.from_buffer("const float[]", array)


def _out(array: Floats) -> Any:
    return ffi.from_buffer("float[]", array, require_writable=True)


def _bytes(array: npt.NDArray[np.uint8]) -> Any:
    return ffi.from_buffer("uint8_t[]", array)
