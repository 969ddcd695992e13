"""Every request that Cordial gets in these tests is held against its Swagger."""

from tests.target.conftest import make_box

__all__ = ["make_box"]
