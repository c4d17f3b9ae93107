"""The one door: each kind opens, and a wrong name, option or place is answered with the right one."""

import pytest

from gen.data.catalog import open_source
from gen.data.source import Source, digest, is_test


@pytest.mark.parametrize(("spec", "options"), [("digits", {}), ("photos", {"stride": "32"})])
def test_built_in_sources_meet_the_protocol(spec, options):
    source = open_source(spec, "test", size=32, **options)
    assert isinstance(source, Source)
    record = source[0]
    assert record["image"].shape == (32, 32, 3) and record["image"].dtype == "uint8"
    assert set(record["caption"]) <= set(source.captions()) and len(source.fingerprint) == 64


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("digit", {}, r"did you mean 'digits'\?.*folder:DIR"),
        ("digits:x", {}, "write digits"),
        ("folder", {}, "write folder:DIR"),
        ("photos", {"strides": 4}, r"did you mean 'stride'\?"),
        ("digits", {"stride": 4}, "its options are none"),
        ("photos", {"stride": "wide"}, "data.options.stride='wide' is not a value"),
    ],
)
def test_wrong_requests(spec, options, message):
    with pytest.raises(ValueError, match=message):
        open_source(spec, "train", size=16, **options)


def test_digests_frame_their_parts_and_splits_have_their_share():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    share = sum(is_test(f"image {i}", 0.1) for i in range(5000)) / 5000
    assert abs(share - 0.1) < 0.02
    assert all(is_test(f"image {i}", 0.2) for i in range(500) if is_test(f"image {i}", 0.1))
