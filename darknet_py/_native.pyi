# What the type checker knows of the compiled module: cffi gives it no types.
from typing import Any

ffi: Any
lib: Any
