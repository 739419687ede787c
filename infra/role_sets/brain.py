"""Brain studies: weighting and contrast in words that mislead, and attributes that contradict."""

from __future__ import annotations

from collections.abc import Sequence

from infra.role_sets.scans import RoleSet, Scan, brain, scan

T1, T1_3D, T2, FLAIR, STIR = "9/550", "2.9/2000/900", "98/4500", "110/9000/2500", "60/4500/160"
WEIGHTED = [
    scan("AX T2", 5, T2, images=24),
    scan("AX FLAIR", 6, FLAIR, images=24),
]


def t1s(*series: Scan) -> list[Scan]:
    """T1 series before a T2 and a FLAIR; the places of these are those after them."""
    return [*series, *WEIGHTED]


FLAIRS = [
    RoleSet(
        f"{name} ({times})",
        brain(t2=t2, flair=flair),
        [scan(name, 3, times, images=176, plane="sag"), *others],
    )
    for name, times, t2, flair, others in (
        ("t2_spc_da-fl_sag_p2_iso", "388/5000/1800", None, 0, []),
        ("t2_spc_da-fl_sag_p2_iso", "388/5000", None, 0, []),
        ("t2_space_dark-fluid_sag", "388/5000/1800", 1, 0, [WEIGHTED[0]]),
        ("t2_spc_darkfluid_sag", "388/5000/1800", 1, 0, [WEIGHTED[0]]),
        ("t2_spc_ir_sag", "388/5000/1800", 1, 0, [WEIGHTED[0]]),
        ("t2_spc_irprep_sag", "388/5000", 1, 0, [WEIGHTED[0]]),
        ("t2_tirm_tra", FLAIR, None, 0, []),
        ("t2_tirm_cor", STIR, None, None, []),
        ("t2_tirm_cor", "60/4500", None, None, []),
        ("t2_tirm_cor", "60/4500", 1, 2, WEIGHTED),
        ("tirm_cor", STIR, 1, 2, WEIGHTED),
        ("COR STIR", STIR, 1, 2, WEIGHTED),
        ("COR STIR", "34/4500/150", 1, 2, WEIGHTED),
        ("COR FSE IR", "34/4500/150", 1, 2, WEIGHTED),
        ("3D Brain VIEW FLAIR SHC", "310/4800/1650", None, 0, []),
        ("Sag CUBE T2 FLAIR", "120/6000/1850", None, 0, []),
        ("eT2 FLAIR", "120/11000", None, 0, []),
        ("FLAIR", "12/2300/900", None, None, []),
        ("FLAIR", STIR, None, None, []),
        ("Ax T2 FLAIR FS", FLAIR, None, 0, []),
        ("AX T2 FS", "98/4500/150", 0, None, []),
        ("COR T2", STIR, None, None, []),
        ("T2_FFE", "20/600", None, None, []),
        ("AX T2 GRE", "20/600", None, None, []),
        ("AX T2", "20/600", None, None, []),
        ("AX T2*", "20/600", None, None, []),
        ("t2_fl2d_tra_hemo", "20/600", None, None, []),
        ("t2_tse_sag LWS", T2, None, None, []),
        ("T2 dark blood", "80/2500", None, None, []),
        ("SyMRI T2W", T2, None, None, []),
        ("ep2d_b1000", "85/6000", None, None, []),
        ("AX PD/T2", "15/3000", None, None, []),
        ("SAG T2 C-SPINE", T2, None, None, []),
        ("t2_ci3d_ciss IAC", "3/6", None, None, []),
        ("AX FSE", T2, 0, None, []),
        ("resolve_4scan_trace", "70/5000", None, None, []),
        ("REVEAL ISO", "85/6000", None, None, []),
    )
]

CONTRAST = [
    RoleSet(name, brain(before, after, len(series), len(series) + 1), t1s(*series))
    for name, (before, after), series in (
        (
            "PRE-OP T1 with an agent alone",
            (None, 0),
            [scan("PRE-OP 3D T1 MPRAGE GAD", 9, T1_3D)],
        ),
        (
            "navigation, alone, without a word of contrast",
            (None, 0),
            [scan("STEALTH T1 MPRAGE", 9, T1_3D)],
        ),
        (
            "PREOP NAVI beside both",
            (1, 2),
            [
                scan("PREOP NAVI T1 3D", 20, T1_3D),
                scan("AX T1", 3, T1, images=24),
                scan("AX T1 GD", 9, T1, images=24),
            ],
        ),
        (
            "after an operation, before contrast",
            (0, 1),
            [scan("POST-OP AX T1", 3, T1), scan("POST-OP AX T1 +C", 9, T1, agent="Gadovist")],
        ),
        ("post-op alone", (0, None), [scan("AX T1 POST OP", 3, T1)]),
        (
            "s/p resection",
            (0, 1),
            [scan("T1 s/p resection", 3, T1), scan("T1 s/p resection GD", 9, T1)],
        ),
        ("post RT", (0, 1), [scan("T1 post RT", 3, T1), scan("T1 post RT KM", 9, T1)]),
        ("post 3 months", (0, None), [scan("T1 AX post 3 months", 3, T1)]),
        (
            "a name for the whole examination",
            (0, 1),
            [
                scan("MRI BRAIN W/O AND W CONTRAST AX T1", 3, T1),
                scan("MRI BRAIN W/O AND W CONTRAST AX T1 POST", 9, T1),
            ],
        ),
        ("the same, one T1", (None, None), [scan("BRAIN W WO CONTRAST AX T1", 3, T1)]),
        (
            "nach KM, vor KM",
            (0, 1),
            [scan("t1_tse_tra vor KM", 3, T1), scan("t1_tse_tra nach KM", 9, T1)],
        ),
        ("native, Gd", (0, 1), [scan("T1 native", 3, T1), scan("T1 Gd-DOTA", 9, T1)]),
        ("조영 전, 조영 후", (0, 1), [scan("T1 조영 전", 3, T1), scan("T1 조영 후", 9, T1)]),
        ("조영전후 alone", (None, None), [scan("T1 조영전후", 3, T1)]),
        (
            "수술 후, 조영증강",
            (0, 1),
            [scan("T1 수술 후", 3, T1), scan("T1 수술 후 조영증강", 9, T1)],
        ),
        ("造影前, 造影後", (0, 1), [scan("T1 造影前", 3, T1), scan("T1 造影後", 9, T1)]),
        ("senza, con mdc", (0, 1), [scan("T1 senza mdc", 3, T1), scan("T1 con mdc", 9, T1)]),
        ("sin, con civ", (0, 1), [scan("T1 sin civ", 3, T1), scan("T1 con civ", 9, T1)]),
        ("sans, avec injection", (0, 1), [scan("T1 sans inj", 3, T1), scan("T1 avec inj", 9, T1)]),
        ("W/O FS is fat", (0, 1), [scan("AX T1 W/O FS", 3, T1), scan("AX T1 W/O FS POST", 9, T1)]),
        ("T1 C+, T1 C-", (0, 1), [scan("T1 C-", 3, T1), scan("T1 C+", 9, T1)]),
        ("+GD, agent for neither", (0, 1), [scan("T1W_SE", 3, T1), scan("T1W_SE +GD", 9, T1)]),
        (
            "T1 PRE with an agent's name",
            (0, 1),
            [scan("T1 PRE", 3, T1, agent="GAD"), scan("T1 POST", 9, T1, agent="GAD")],
        ),
        (
            "the agent is NONE",
            (0, None),
            [scan("AX T1", 3, T1, agent="NONE")],
        ),
        (
            "the agent is 0 ml",
            (0, None),
            [scan("AX T1", 3, T1, agent="GADAVIST", tags={"ContrastBolusVolume": "0"})],
        ),
        ("the agent is No contrast", (0, None), [scan("AX T1", 3, T1, agent="No contrast given")]),
        (
            "one T1 with an agent's name, nothing else",
            (None, 0),
            [scan("AX T1", 9, T1, agent="GADAVIST")],
        ),
        (
            "two T1 with an agent's name and no word",
            (0, 1),
            [scan("AX T1", 3, T1, agent="GD"), scan("AX T1", 9, T1, agent="GD")],
        ),
        (
            "the agent is named for the one before",
            (0, 1),
            [scan("AX T1", 3, T1, agent="GD"), scan("AX T1 POST", 9, T1)],
        ),
        (
            "without a word, after the one with contrast",
            (None, 0),
            [scan("AX T1 GD", 9, T1), scan("COR T1", 12, T1, plane="cor")],
        ),
        (
            "a language that is not known here",
            (0, 1),
            [scan("T1 AX", 3, T1), scan("T1 AX kontrastli", 9, T1)],
        ),
        (
            "the same, one T1 alone",
            (None, 0),
            [scan("T1 AX varjoaineella", 9, T1)],
        ),
        (
            "perfusion was done, and one T1 has no word",
            (None, None),
            [scan("AX T1", 20, T1), scan("ep2d_perf", 15, "30/1500")],
        ),
        ("dates in the names", (0, None), [scan("T1 AX PRE 2024-03-01", 3, T1)]),
        (
            "posterior fossa",
            (0, 1),
            [scan("T1 posterior fossa", 3, T1), scan("T1 posterior fossa CE", 9, T1)],
        ),
        (
            "T1 and T1 SUB",
            (0, 1),
            [scan("T1", 3, T1), scan("T1 CE", 9, T1), scan("T1 CE SUB", 11, T1)],
        ),
        ("a T1 map", (0, 1), [scan("T1", 3, T1), scan("T1 CE", 9, T1), scan("T1 MAP", 11, T1)]),
        ("TOF", (0, None), [scan("T1 AX", 3, T1), scan("TOF 3D", 11, "3/22")]),
        ("T1 by name, T2 by its times", (None, None), [scan("AX T1", 3, T2)]),
        *[
            (f"post is said of something else: {name}", (0, None), [scan(name, 3, T1)])
            for name in (
                "T1 post stroke",
                "T1 post-seizure",
                "T1 post Avastin",
                "T1 D7 post",
                "T1 post LP",
                "T1 postcentral",
            )
        ],
        *[
            (f"pre is said of something else: {name}", (None, 0), [scan(name, 9, T1)])
            for name in (
                "PRE STEALTH T1 GAD",
                "PRE DBS T1 GAD",
                "PRE SRS T1 GAD",
                "T1 GAD PRE RT PLANNING",
                "수술전 조영 T1",
                "T1 CE 치료전",
            )
        ],
        *[
            (f"signs: {before}, {after}", (0, 1), [scan(before, 3, T1), scan(after, 9, T1)])
            for before, after in (
                ("T1 Gd-", "T1 Gd+"),
                ("T1 CE(-)", "T1 CE(+)"),
                ("T1 (-)", "T1 (+)"),
                ("T1 contrast -", "T1 contrast +"),
                ("T1 -KM", "T1 +KM"),
                ("AX T1 WITHOUT", "AX T1 WITH"),
                ("T1 w/o c", "T1 w/c"),
                ("T1 NCE", "T1 CE"),
                ("T1 pre cont", "T1 post cont"),
            )
        ],
        ("a minus sign alone", (0, None), [scan("T1 Gd-", 3, T1)]),
        *[
            (f"no agent was given: {name}", (0, None), [scan(name, 3, T1)])
            for name in (
                "T1 contrast refused",
                "T1 contrast not given",
                "T1 gad allergy",
                "T1 pas de gado",
                "T1 KEIN KM",
                "T1 keine KM-Gabe",
                "T1 kontrastsiz",
                "T1 kontrastfrei",
            )
        ],
        *[
            (f"before, after: {before}, {after}", (0, 1), [scan(before, 3, T1), scan(after, 9, T1)])
            for before, after in (
                ("T1 przed kontrastem", "T1 po kontrascie"),
                ("T1 bez kontrastu", "T1 z kontrastem"),
                ("T1 zonder contrast", "T1 met contrast"),
                ("T1 voor contrast", "T1 na contrast"),
                ("T1 utan kontrast", "T1 med kontrast"),
                ("T1 SEM CONTRASTE", "T1 COM CONTRASTE"),
                ("T1 kontrastsiz", "T1 kontrastli"),
                ("T1 造影なし", "T1 造影あり"),
                ("T1 조영제 없음", "T1 조영제 있음"),
            )
        ],
        ("T1 by name, proton density by its times", (None, None), [scan("AX T1", 3, "12/3000")]),
        (
            "T1 FLAIR without an inversion time",
            (0, 1),
            [scan("T1 FLAIR", 3, "24/2300"), scan("T1 FLAIR +C", 9, "24/2300")],
        ),
    )
]

EVERYWHERE = [
    RoleSet(
        "everything in the examination has CE in its name",
        brain(0, None, 1, 2),
        [
            scan("BRAIN CE AX T1", 3, T1),
            scan("BRAIN CE AX T2", 5, T2),
            scan("BRAIN CE AX FLAIR", 6, FLAIR),
        ],
    ),
    RoleSet(
        "the same, and one T1 is called after contrast",
        brain(0, 1, 2, 3),
        [
            scan("BRAIN CE AX T1", 3, T1),
            scan("BRAIN CE AX T1 POST", 9, T1),
            scan("BRAIN CE AX T2", 5, T2),
            scan("BRAIN CE AX FLAIR", 6, FLAIR),
        ],
    ),
    RoleSet(
        "the agent's name is in every series",
        brain(0, 1, 2, 3),
        [
            scan("AX T1", 3, T1, agent="DOTAREM"),
            scan("AX T1 KM", 9, T1, agent="DOTAREM"),
            scan("AX T2", 5, T2, agent="DOTAREM"),
            scan("AX FLAIR", 6, FLAIR, agent="DOTAREM"),
        ],
    ),
    RoleSet(
        "the agent's name is in every series of a study without contrast",
        brain(0, None, 1, 2),
        [
            scan("AX T1", 3, T1, agent="DOTAREM"),
            scan("AX T2", 5, T2, agent="DOTAREM"),
            scan("AX FLAIR", 6, FLAIR, agent="DOTAREM"),
        ],
    ),
]

HOSPITALS = [
    RoleSet(
        "Korean: SWI, DWI, ADC and perfusion beside both MPRAGE",
        brain(1, 0, 2, 3),
        [
            scan("3D GD T1 MPRAGE", 12, T1_3D),
            scan("3D T1 MPRAGE", 3, T1_3D),
            scan("AX T2", 4, T2),
            scan("AX FLAIR", 5, FLAIR),
            scan("SWI_Images", 7, "20/28"),
            scan("ADC", 8, "85/6000"),
            scan("ep2d_perf_p2", 11, "30/1500"),
        ],
    ),
    RoleSet(
        "black blood after contrast beside the usual T1",
        brain(0, 1, 2, 3),
        [
            scan("T1 SPACE", 3, "11/700"),
            scan("CE T1 SPACE", 13, "11/700"),
            scan("T2 TSE", 4, T2),
            scan("T2 FLAIR", 5, FLAIR),
            scan("CE BB T1", 14, "20/800"),
        ],
    ),
    RoleSet(
        "FLAIR before and after contrast",
        brain(0, 1, 2, 3),
        [*t1s(scan("Ax T1", 3, T1), scan("Ax T1 +C", 9, T1)), scan("Ax FLAIR +C", 10, FLAIR)],
    ),
    RoleSet(
        "a double inversion is no FLAIR",
        brain(0, 1, 2, None),
        [
            scan("T1", 3, T1),
            scan("T1 KM", 9, T1),
            scan("T2", 4, T2),
            scan("3D DIR", 6, "380/7500/3000"),
        ],
    ),
    RoleSet(
        "an inversion for planning is no T1",
        brain(1, 2, 3, None),
        [
            scan("FGATIR", 6, "3/3000/400"),
            scan("T1 MPRAGE", 3, T1_3D),
            scan("T1 MPRAGE GAD", 12, T1_3D),
            scan("T2 SPACE", 4, "400/3200"),
        ],
    ),
    RoleSet(
        "MP2RAGE beside MPRAGE after contrast",
        brain(None, 3, 4, 5),
        [
            scan("t1_mp2rage_sag_INV1", 3, "2.9/5000/700"),
            scan("t1_mp2rage_sag_INV2", 4, "2.9/5000/2500"),
            scan("t1_mp2rage_sag_UNI_Images", 5, "2.9/5000"),
            scan("t1_mprage_sag_KM", 12, T1_3D),
            *WEIGHTED,
        ],
    ),
    RoleSet(
        "before and after a resection, both after contrast",
        brain(None, 1, 2, 3),
        t1s(scan("PRE-RESECTION T1 +C", 3, T1_3D), scan("POST-RESECTION T1 +C", 20, T1_3D)),
    ),
]

DERIVED = [
    RoleSet(
        "everything converted",
        brain(0, 1, 2, 3),
        [
            scan("T1", 1, T1, kind="DERIVED\\SECONDARY"),
            scan("T1 CE", 2, T1, kind="DERIVED\\SECONDARY"),
            scan("T2", 3, T2, kind="DERIVED\\SECONDARY"),
            scan("FLAIR", 4, FLAIR, kind="DERIVED\\SECONDARY"),
        ],
    ),
    RoleSet(
        "a reformatted T1 beside one after contrast",
        brain(None, 0, 2, 3),
        [
            scan("T1 MPRAGE GD", 9, T1_3D),
            scan("T1 MPR AX", 11, T1_3D, kind="DERIVED\\SECONDARY\\MPR"),
            *WEIGHTED,
        ],
    ),
    RoleSet(
        "projections and phase images",
        brain(0, 1, 4, 5),
        [
            scan("T1", 1, T1),
            scan("T1 GD", 9, T1),
            scan("T1 GD", 10, T1, kind="DERIVED\\SECONDARY\\PROJECTION IMAGE"),
            scan("T1", 11, T1, kind="ORIGINAL\\PRIMARY\\P\\ND"),
            *WEIGHTED,
        ],
    ),
]

BRAIN_SETS: Sequence[RoleSet] = (
    *FLAIRS,
    *CONTRAST,
    *EVERYWHERE,
    *HOSPITALS,
    *DERIVED,
)
