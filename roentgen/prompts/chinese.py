"""Chinese captions of findings, for users of Chinese; the rule labeler reads them back exactly.

    右侧中等量、左侧少量胸腔积液；可疑下叶肺炎；未见气胸

They are the findings of the prompt grammar in words that the labeler has (`words/zh.yaml`); no
native radiologist has checked them. Findings are parted by "；", because a doubted finding behind
a comma is read as an interpretation of the one before it.
"""

from collections.abc import Iterable

from roentgen.prompts.grammar import Part, Unit, part_of, units_of
from roentgen.record.finding import Finding, Severity, Side, State

_NOUNS = {
    "atelectasis": "肺不张",
    "cardiomegaly": "心影增大",
    "consolidation": "肺实变",
    "edema": "肺水肿",
    "enlarged cardiomediastinum": "纵隔增宽",
    "fracture": "骨折",
    "rib fracture": "肋骨骨折",
    "clavicle fracture": "锁骨骨折",
    "vertebral fracture": "椎体骨折",
    "lung lesion": "肺部局灶性病变",
    "nodule": "肺结节",
    "mass": "肺肿块",
    "lung opacity": "肺部阴影",
    "infiltrate": "肺浸润影",
    "pleural effusion": "胸腔积液",
    "pleural abnormality": "胸膜异常",
    "pleural thickening": "胸膜增厚",
    "pleural scarring": "胸膜粘连",
    "pneumonia": "肺炎",
    "pneumothorax": "气胸",
    "support devices": "医疗装置",
    "endotracheal tube": "气管插管",
    "nasogastric tube": "鼻胃管",
    "chest tube": "胸腔引流管",
    "central line": "中心静脉导管",
    "pacemaker": "心脏起搏器",
}
_PLACES = {
    "upper zone": "上肺野",
    "mid zone": "中肺野",
    "lower zone": "下肺野",
    "upper lobe": "上叶",
    "middle lobe": "中叶",
    "lower lobe": "下叶",
    "apical": "肺尖",
    "basal": "肺底",
    "perihilar": "肺门旁",
    "retrocardiac": "心影后",
}
_SIDES: dict[Side, str] = {"left": "左侧", "right": "右侧", "bilateral": "双侧"}
_STATES: dict[State, str] = {"present": "", "uncertain": "可疑", "absent": "未见"}
_NORMAL: dict[State, str] = {
    "present": "未见明显异常",
    "uncertain": "可能未见异常",
    "absent": "可见异常",
}
_DEGREES: dict[Severity, str] = {"small": "轻度", "moderate": "中度", "large": "重度"}
_AMOUNTS: dict[Severity, str] = {"small": "少量", "moderate": "中等量", "large": "大量"}
_SIZES: dict[Severity, str] = {"small": "较小", "moderate": "中等大小", "large": "较大"}
_HAVE_AMOUNTS = ("Pleural Effusion", "Pneumothorax")


def chinese_text(findings: Iterable[Finding]) -> str:
    """The findings as a list in Chinese, in their order.

    The labeler reads them back but for severities of devices, uncertain and absent "No Finding",
    and details beyond the vocabulary, which are in brackets. Raises InputError for a detail that
    prompts cannot write.
    """
    return "；".join(_phrase(unit) for unit in units_of([part_of(finding) for finding in findings]))


def _phrase(unit: Unit) -> str:
    first = unit[0]
    if first.name == "No Finding":
        return _NORMAL[first.state]
    sides = "、".join(map(_attributes, unit))
    free = f"（{first.free}）" if first.free else ""
    return f"{_STATES[first.state]}{sides}{_NOUNS[first.noun]}{free}"


def _attributes(part: Part) -> str:
    """Side, place and severity: "左侧肺底少量"."""
    sizes = _AMOUNTS if part.name in _HAVE_AMOUNTS else _DEGREES if part.graded else _SIZES
    return "".join(
        (
            _SIDES[part.side] if part.side else "",
            _PLACES[part.place] if part.place else "",
            sizes[part.severity] if part.severity else "",
        )
    )
