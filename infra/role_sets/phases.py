"""Dynamic studies of the breast: phases that are rounded, repeated, left over, copied, unnamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from infra.role_sets.scans import ORIGINAL, PLANES, RoleSet, Scan, phases, scan

FAST = "1.8/4.6"
CLOCK = ("091800", "092000", "092130", "092300", "092430", "092600")


def dynamic(
    names: Sequence[str],
    *,
    first: int = 10,
    times: str = FAST,
    plane: str = "ax",
    kind: str = ORIGINAL,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> list[Scan]:
    """One series for each name, a minute and a half apart."""
    return [
        scan(name, first + place, times, at=CLOCK[place], plane=plane, kind=kind, tags=tags)
        for place, name in enumerate(names)
    ]


USUAL = ("dyn pre", "dyn post 1", "dyn post 2", "dyn post 3", "dyn post 4")
FIRST_FOUR = phases(0, 1, 2, 3)


def _changed(
    series: Sequence[Scan],
    place: int,
    *,
    images: int | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> list[Scan]:
    """The same, with other tags for one; an empty text takes a tag away."""
    one = series[place]
    given = {keyword: value for keyword, value in {**one.tags, **tags}.items() if value}
    changed = Scan(one.description, one.number, images or one.instances, given)
    return [*series[:place], changed, *series[place + 1 :]]


ROUNDING = [
    RoleSet(
        f"rounded {keyword} of the phase before contrast",
        FIRST_FOUR,
        _changed(dynamic(USUAL, tags={keyword: usual}), 0, tags={keyword: rounded}),
    )
    for keyword, usual, rounded in (
        ("EchoTime", "1.8", "1.80002"),
        ("RepetitionTime", "4.6", "4.59997"),
        ("FlipAngle", "10", "9.9999"),
        ("PixelSpacing", "0.7031\\0.7031", "0.703125\\0.703125"),
        ("ImageOrientationPatient", PLANES["ax"], "0.999998\\0.0049\\-0\\-0.0051\\1\\1e-5"),
    )
]

FRAMES = [
    RoleSet(
        "the phase before contrast has a frame of reference of its own, by name",
        FIRST_FOUR,
        _changed(dynamic(USUAL), 0, tags={"FrameOfReferenceUID": "1.2.3.77"}),
    ),
    RoleSet(
        "the same, and all have one name",
        FIRST_FOUR,
        _changed(dynamic(["t1_fl3d_dyn"] * 5), 0, tags={"FrameOfReferenceUID": "1.2.3.77"}),
    ),
    RoleSet(
        "de-identification gave each series a frame of reference",
        FIRST_FOUR,
        [
            _changed([one], 0, tags={"FrameOfReferenceUID": f"2.25.{n}"})[0]
            for n, one in enumerate(dynamic(USUAL))
        ],
    ),
    RoleSet(
        "re-localised after a first try: the whole scan again",
        phases(2, 3, 4, 5),
        [
            scan("dyn pre", 5, FAST, at="090000", tags={"FrameOfReferenceUID": "1.2.3.9"}),
            scan("dyn post 1", 6, FAST, at="090200", tags={"FrameOfReferenceUID": "1.2.3.9"}),
            *dynamic(USUAL[:4]),
        ],
    ),
]

LEFT_OVER = [
    RoleSet(
        "the scan before contrast has another repetition time",
        FIRST_FOUR,
        _changed(dynamic(["VIBRANT C-", *["VIBRANT C+"] * 4]), 0, tags={"RepetitionTime": "5.1"}),
    ),
    RoleSet(
        "the scan before contrast has more slices",
        FIRST_FOUR,
        _changed(dynamic(["eTHRIVE", *["eTHRIVE"] * 4]), 0, images=170),
    ),
    RoleSet(
        "the scan before contrast has another matrix and a name of its own",
        FIRST_FOUR,
        _changed(
            dynamic(["T1 FS 3D native", *["VIBRANT"] * 5]),
            0,
            tags={"Rows": "320", "Columns": "320"},
        ),
    ),
    RoleSet(
        "the second phase lost an image",
        FIRST_FOUR,
        _changed(dynamic(USUAL), 1, images=159),
    ),
    RoleSet(
        "the scan before contrast is registered, and says so",
        FIRST_FOUR,
        _changed(dynamic(USUAL), 0, tags={"ImageType": "DERIVED\\SECONDARY\\REG"}, images=158),
    ),
    *[
        RoleSet(
            f"one name for all, and the first has another {keyword}: {value[:12]}",
            FIRST_FOUR,
            _changed(dynamic(["t1 dyn"] * 5, tags={"FlipAngle": "10"}), 0, tags={keyword: value}),
        )
        for keyword, value in (
            ("RepetitionTime", "6.2"),
            ("EchoTime", "2.9"),
            ("FlipAngle", "15"),
            ("FlipAngle", ""),
            ("EchoTime", ""),
            ("Rows", ""),
            ("ImageOrientationPatient", ""),
            ("ImageOrientationPatient", "0.9986\\0.0523\\0\\-0.0523\\0.9986\\0"),
            ("ImageOrientationPatient", "1\\0\\0\\0\\0.766\\0.643"),
            ("ImageType", "DERIVED\\SECONDARY"),
            ("ContrastBolusAgent", "Gadovist"),
        )
    ],
    RoleSet(
        "all are called after contrast, the one before is in another study",
        phases(None, 0, 1, 2),
        dynamic(["dyn post 1", "dyn post 2", "dyn post 3", "dyn post 4"]),
    ),
    RoleSet(
        "phases are counted from two on",
        phases(None, None, 0, 1),
        dynamic(["Ph2/VIBRANT", "Ph3/VIBRANT", "Ph4/VIBRANT", "Ph5/VIBRANT"]),
    ),
    RoleSet(
        "GE: C- in a series of its own, C+ in five",
        FIRST_FOUR,
        [
            scan("Ax VIBRANT C-", 5, "2.1/5.6", images=100, at="091800"),
            *[
                scan(f"Ph{n}/Ax VIBRANT MPh C+", 600 + n, "2.0/5.2", images=100, at="092000")
                for n in range(1, 6)
            ],
        ],
    ),
    RoleSet(
        "the phase after contrast that follows the injection is missing",
        phases(0, None, 1, 2),
        dynamic(["dyn pre", "dyn 2nd pass", "dyn 3rd pass", "dyn 4th pass"]),
    ),
    RoleSet(
        "a delayed scan in another plane",
        FIRST_FOUR,
        [*dynamic(USUAL), scan("sag vibrant delayed", 30, FAST, at="093500", plane="sag")],
    ),
    RoleSet(
        "a delayed scan of high resolution",
        FIRST_FOUR,
        [*dynamic(USUAL), scan("ax t1 fs hires post", 30, "2.0/5.0", at="093500", images=220)],
    ),
]

REPEATED = [
    RoleSet(
        "before contrast twice, the second says so",
        phases(1, 2, 3, 4),
        dynamic(["dyn pre", "dyn pre rpt", "dyn post 1", "dyn post 2", "dyn post 3"]),
    ),
    RoleSet(
        "before contrast twice, in the same words",
        phases(1, 2, 3, 4),
        dynamic(["THRIVE nativ", "THRIVE nativ", "THRIVE KM 1", "THRIVE KM 2", "THRIVE KM 3"]),
    ),
    RoleSet(
        "before contrast twice without a word, a pause after it",
        phases(1, 2, 3, 4),
        [
            scan("t1_fl3d_tra_dyn", 10 + n, FAST, at=at)
            for n, at in enumerate(("091000", "091130", "091400", "091530", "091700", "091830"))
        ],
    ),
    RoleSet(
        "the second phase twice",
        phases(0, 2, 3, 4),
        dynamic(["dyn pre", "dyn post 1", "dyn post 1", "dyn post 2", "dyn post 3"]),
    ),
    RoleSet(
        "Korean: before contrast again",
        phases(1, 2, 3, 4),
        dynamic(["조영 전", "조영 전 재촬영", "조영 후 1차", "조영 후 2차", "조영 후 3차"]),
    ),
    RoleSet(
        "broken off, then done under the same name",
        phases(1, 2, 3, 4),
        [scan("dyn pre", 9, FAST, at="091500", images=40), *dynamic(USUAL)],
    ),
    RoleSet(
        "a phase after contrast was broken off",
        phases(0, None, 2, 3),
        _changed(dynamic(["t1_vibe_dyn"] * 5), 1, images=52),
    ),
]

COPIES = [
    RoleSet(
        "motion-corrected copies beside the phases",
        FIRST_FOUR,
        [
            *dynamic(["t1_vibe_dyn"] * 5),
            *dynamic(["t1_vibe_dyn_MOCO"] * 5, first=20, kind="ORIGINAL\\PRIMARY\\M\\ND\\MOCO"),
        ],
    ),
    RoleSet(
        "each phase with and without distortion correction",
        FIRST_FOUR,
        [
            *dynamic(["t1_vibe_dyn"] * 5),
            *dynamic(["t1_vibe_dyn"] * 5, first=20, kind="ORIGINAL\\PRIMARY\\M\\DIS2D"),
        ],
    ),
    RoleSet(
        "subtractions that are flagged original",
        FIRST_FOUR,
        [
            *dynamic(USUAL),
            *dynamic(
                ["dyn post 1-pre", "dyn post 2-pre", "dyn post 3-pre", "dyn post 4-pre"], first=30
            ),
        ],
    ),
    RoleSet(
        "Siemens subtractions and projections",
        FIRST_FOUR,
        [
            *dynamic(["t1_fl3d_dyn"] * 5),
            *dynamic(["t1_fl3d_dyn_SUB"] * 4, first=30, kind="DERIVED\\PRIMARY\\M\\ND\\SUB"),
            scan("t1_fl3d_dyn_SUB_MIP_TRA", 40, FAST, images=1, kind="DERIVED\\PRIMARY\\MIP\\SUB"),
        ],
    ),
    RoleSet(
        "subtractions alone, without a word",
        phases(None, None, None, None),
        dynamic(["dyn"] * 5, kind="DERIVED\\PRIMARY\\M\\SUB"),
    ),
    RoleSet(
        "GE: a series of all phases beside those of each",
        FIRST_FOUR,
        [
            *[
                scan(f"Ph{n}/Ax VIBRANT MPH", 600 + n, FAST, images=100, at="092000")
                for n in range(5)
            ],
            scan("Ax VIBRANT MPH", 6, FAST, images=500, at="092000"),
        ],
    ),
]


def _dixon(prefixes: Sequence[str], kinds: Sequence[str], count: int = 5) -> list[Scan]:
    return [
        scan(name.format(n=n), 10 * (n + 1) + place, "1.2/5.4", at=CLOCK[n], kind=kind)
        for n in range(count)
        for place, (name, kind) in enumerate(zip(prefixes, kinds, strict=True))
    ]


DIXON_KINDS = [
    f"DERIVED\\PRIMARY\\DIXON\\{image}" for image in ("WATER", "FAT", "IN_PHASE", "OPP_PHASE")
]
PHILIPS_KINDS = [f"DERIVED\\PRIMARY\\{image}\\{image}\\DERIVED" for image in ("W", "F", "IP", "OP")]

DIXON = [
    RoleSet(
        "GE LAVA Flex: water, fat, in and opposed phase",
        phases(0, 4, 8, 12),
        _dixon(
            [f"{image}: Ax LAVA Flex dyn" for image in ("WATER", "FAT", "InPhase", "OutPhase")],
            DIXON_KINDS,
        ),
    ),
    RoleSet(
        "Philips mDIXON: four images in one name, by the Image Type",
        phases(0, 4, 8, 12),
        _dixon(["mDIXON dyn"] * 4, PHILIPS_KINDS),
    ),
    RoleSet(
        "Siemens Dixon, letters alone",
        phases(0, 2, 4, 6),
        _dixon(["t1_vibe_dixon_dyn_W", "t1_vibe_dixon_dyn_F"], ["ORIGINAL\\PRIMARY\\M\\ND"] * 2),
    ),
    RoleSet(
        "the water image of the phase before contrast is not stored",
        phases(None, 2, 4, 6),
        _dixon(["t1_vibe_dixon_dyn_W", "t1_vibe_dixon_dyn_F"], DIXON_KINDS[:2])[1:],
    ),
    RoleSet(
        "only fat images are stored",
        phases(None, None, None, None),
        _dixon(["t1_vibe_dixon_dyn_F"], DIXON_KINDS[1:2]),
    ),
    RoleSet(
        "Dixon words without any Image Type that names them",
        phases(0, 2, 4, 6),
        _dixon(["dyn water", "dyn fat"], ["DERIVED\\PRIMARY"] * 2),
    ),
]

TIMES = [
    RoleSet(
        "over midnight, dates removed",
        FIRST_FOUR,
        [
            scan("t1_fl3d_dyn", 10 + n, FAST, tags={"AcquisitionTime": at})
            for n, at in enumerate(("235700", "235830", "000000", "000130", "000300"))
        ],
    ),
    RoleSet(
        "over midnight, all with the date of the day before",
        FIRST_FOUR,
        [
            scan("t1_fl3d_dyn", 7, FAST, at=at)
            for at in ("235700", "235830", "000000", "000130", "000300")
        ],
    ),
    RoleSet(
        "one of them without a date",
        FIRST_FOUR,
        _changed(dynamic(["t1_fl3d_dyn"] * 5), 3, tags={"AcquisitionDate": ""}),
    ),
    RoleSet(
        "the phase before contrast has no time",
        FIRST_FOUR,
        _changed(
            dynamic(["t1_fl3d_dyn"] * 5), 0, tags={"AcquisitionTime": "", "AcquisitionDate": ""}
        ),
    ),
    RoleSet(
        "all times are the same, names count",
        FIRST_FOUR,
        [scan(name, 10 + n, FAST, at="092000") for n, name in enumerate(USUAL)],
    ),
    RoleSet(
        "series numbers against the clock",
        FIRST_FOUR,
        [scan("dyn", 20 - n, FAST, at=CLOCK[n]) for n in range(5)],
    ),
    RoleSet(
        "temporal positions begin at two",
        phases(None, 0, 1, 2),
        [
            scan("dyn", 10 + n, FAST, at=CLOCK[n], tags={"TemporalPositionIdentifier": str(n + 2)})
            for n in range(4)
        ],
    ),
    RoleSet(
        "two visits in one study",
        phases(0, 1, 2, 3),
        [
            *dynamic(["dyn"] * 4),
            *[
                _changed([one], 0, tags={"AcquisitionDate": "20250918"})[0]
                for one in dynamic(["dyn"] * 4, first=30)
            ],
        ],
    ),
]

OTHER_DYNAMIC = [
    RoleSet(
        "another acquisition of the same settings among the counted phases",
        phases(0, 1, 2, 4),
        dynamic(["dyn pre", "dyn post 1", "dyn post 2", "HR post", "dyn post 3"]),
    ),
    RoleSet(
        "Korean: minutes and seconds after contrast",
        FIRST_FOUR,
        dynamic(["T1 조영전", "T1 조영후 1분", "T1 조영후 2분 30초", "T1 조영후 4분"]),
    ),
    RoleSet(
        "flip angles in degrees in the names",
        phases(2, 3, 4, 5),
        dynamic(
            ["vibe_2deg", "vibe_15deg", "vibe_dyn_pre", "vibe_dyn_1", "vibe_dyn_2", "vibe_dyn_3"]
        ),
    ),
    RoleSet(
        "flip angles for a T1 map before the dynamic scan",
        phases(3, 4, 5, 6),
        [
            *[
                scan("t1_vibe_dyn_pre", 3 + n, FAST, at=f"09{n:02}00", tags={"FlipAngle": angle})
                for n, angle in enumerate(("2", "5", "15"))
            ],
            *dynamic(["t1_vibe_dyn"] * 5, tags={"FlipAngle": "12"}),
        ],
    ),
    RoleSet(
        "left and right breast in turn",
        phases(None, None, None, None),
        [
            scan(f"sag {side} dyn", 10 + n, FAST, at=f"09{20 + n}00", plane="sag")
            for n, side in enumerate(("LT", "RT") * 4)
        ],
    ),
    RoleSet(
        "reformatted in another plane, flagged original",
        FIRST_FOUR,
        [
            *dynamic(["sag vibrant dyn"] * 5, plane="sag"),
            *dynamic(["ax vibrant dyn"] * 5, first=30, plane="ax"),
        ],
    ),
    RoleSet(
        "German: nativ, then KM",
        FIRST_FOUR,
        dynamic(["t1_fl3d_tra nativ", *[f"t1_fl3d_tra KM {n}" for n in range(1, 5)]]),
    ),
    RoleSet(
        "Korean: 조영 전, 조영 후",
        FIRST_FOUR,
        dynamic(["T1 조영 전", *[f"T1 조영 후 {n}차" for n in range(1, 5)]]),
    ),
    RoleSet(
        "French: sans injection, then phases",
        FIRST_FOUR,
        dynamic(["3D T1 dyn sans inj", *[f"3D T1 dyn inj {n}" for n in range(1, 5)]]),
    ),
    RoleSet(
        "Canon: Dyn-0 to Dyn-4",
        FIRST_FOUR,
        dynamic([f"QUICK3D Dyn-{n}" for n in range(5)]),
    ),
    RoleSet(
        "after an operation: the word says nothing of contrast",
        FIRST_FOUR,
        dynamic([f"breast post-op dyn {n}" for n in range(1, 6)]),
    ),
    RoleSet(
        "names removed, attributes left",
        FIRST_FOUR,
        dynamic([""] * 5),
    ),
    RoleSet(
        "four stations of a whole-body scan",
        phases(None, None, None, None),
        dynamic(["t1_se_station"] * 4, times="9/500"),
    ),
    RoleSet(
        "cine images",
        phases(None, None, None, None),
        dynamic(["cine trufi"] * 5, times="1.5/3.2"),
    ),
    RoleSet(
        "phases by their minutes after contrast",
        FIRST_FOUR,
        dynamic(["dyn pre", "dyn post 1min", "dyn post 2min", "dyn post 5min"]),
    ),
    RoleSet(
        "liver phases",
        FIRST_FOUR,
        dynamic(["vibe pre", "vibe arterial", "vibe portal", "vibe delayed"]),
    ),
    RoleSet(
        "agents named in all phases but the first",
        FIRST_FOUR,
        [
            *dynamic(["t1 dyn"]),
            *dynamic(["t1 dyn"] * 5, tags={"ContrastBolusAgent": "Gadovist"})[1:],
        ],
    ),
    RoleSet(
        "diffusion with several b values",
        phases(None, None, None, None),
        dynamic(["ep2d_diff b50", "ep2d_diff b400", "ep2d_diff b800", "ADC"], times="60/6000"),
    ),
]

PHASE_SETS: Sequence[RoleSet] = (
    *ROUNDING,
    *FRAMES,
    *LEFT_OVER,
    *REPEATED,
    *COPIES,
    *DIXON,
    *TIMES,
    *OTHER_DYNAMIC,
)
