"""The words of pages and pictures, per language.

Sentences that come with the findings (warnings, limits, reasons) are not here: what reports make
of them stands in `dicom_node.compose.words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.compose.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language. Braces are filled in by `str.format`."""

    language: Language
    full_stop: str
    """Between two sentences."""
    title: str
    not_for_diagnosis: str
    made: str
    patient: str
    patient_id: str
    birth_date: str
    sex_age: str
    study_date: str
    accession: str
    study: str
    series: str
    institution: str
    scanner: str
    slices: str
    slices_value: str
    lungs: str
    exam_lung_rads: str
    exam_lung_rads_value: str
    lung_sides: str
    applicable: Mapping[str, str]
    nothing_found: str
    one_found: str
    many_found: str
    most_suspicious: str
    no_levels: str
    partial: str
    columns: tuple[str, ...]
    types: Mapping[str, str]
    places: Mapping[str, str]
    unknown_place: str
    withheld: str
    nodule: str
    level: str
    lung_rads: str
    brock: str
    measures: str
    mean: str
    axial: str
    coronal: str
    sagittal: str
    whole_slice: str
    looked_at: str
    middle_slice: str
    rest_in_key_images: str
    contributions: str
    modalities: Mapping[str, str]
    one_modality: str
    simulated: str
    masked: str
    comma: str
    """Between names."""
    similar: str
    similar_line: str
    evidence: Mapping[str, str]
    no_similar: str
    follow_up: str
    changed: str
    listed_then: str
    notes: str
    warning_line: str
    limit_line: str
    exam_rule_line: str
    level_meaning: str
    more: str
    versions: str
    footnote: str


ENGLISH = Words(
    language="en",
    full_stop=". ",
    title="Lung nodule analysis",
    not_for_diagnosis="Research use, not for diagnosis",
    made="made {when}, revision {revision}",
    patient="Patient",
    patient_id="Patient ID",
    birth_date="Birth date",
    sex_age="Sex, age",
    study_date="Study date",
    accession="Accession number",
    study="Study",
    series="Series",
    institution="Institution",
    scanner="Scanner",
    slices="Slices",
    slices_value="{count}, {spacing} mm apart",
    lungs="Lung volume",
    exam_lung_rads="Lung-RADS v2022 (rule)",
    exam_lung_rads_value="{category} (applicable: {applicable})",
    lung_sides="{total} ml (R {right}, L {left})",
    applicable={"yes": "yes", "no": "no", "unknown": "not known"},
    nothing_found="No nodule above the threshold. This does not exclude cancer.",
    one_found="1 nodule reported.",
    many_found="{count} nodules reported.",
    most_suspicious=(
        "Highest model level: nodule {number} ({description}), level {level}, "
        "suspicion {suspicion}."
    ),
    no_levels="No model level was given.",
    partial="PARTIAL: {why}.",
    columns=(
        "No.", "Place", "Type", "Axes, mm", "Mean, mm", "Volume, mm³", "Model level",
        "I  II  III  IV", "Suspicion", "Lung-RADS", "Brock",
    ),
    types={
        "solid": "solid", "part-solid": "part-solid", "ground-glass": "ground-glass",
        "calcified": "calcified",
    },
    places={
        "right": "right lung", "left": "left lung", "right upper lobe": "right upper lobe",
        "right middle lobe": "right middle lobe", "right lower lobe": "right lower lobe",
        "left upper lobe": "left upper lobe", "left lower lobe": "left lower lobe",
    },
    unknown_place="lung",
    withheld="withheld",
    nodule="Nodule {number}",
    level="model level {level} (suspicion {suspicion})",
    lung_rads="Lung-RADS {category}",
    brock="Brock {risk}",
    measures="{long} x {short} mm",
    mean="mean {size} mm",
    axial="Axial, image {image}",
    coronal="Coronal",
    sagittal="Sagittal",
    whole_slice="Whole slice",
    middle_slice="Axial",
    looked_at="What was looked at: middle slice and the two planes through its middle",
    rest_in_key_images="Nodules {numbers} are shown in the key images.",
    contributions="What moved the suspicion of nodule {number}, in points",
    modalities={
        "ct_image": "CT image", "ct_measures": "measures in the CT", "ct_report": "CT report",
        "clinical": "clinical data", "serology": "serology", "pet": "PET",
    },
    one_modality="Only one source of information was there: {name}. Nothing to compare.",
    simulated="Learned from SIMULATED patients: {names}",
    masked="Known, not used (masked by setting): {names}",
    comma=", ",
    similar="Rated cases like nodule {number}",
    similar_line="{case}: level {level}, {evidence}, similarity {similarity}",
    evidence={"reader-rated": "rated by readers", "confirmed": "confirmed"},
    no_similar="No case was named.",
    follow_up="Since the CT of {days} days before",
    changed="{nodule}: {change}; {why}",
    listed_then="Earlier nodule {number}, {type}, {what}",
    notes="Warnings and limits",
    warning_line="Warning: {text}",
    limit_line="{text}",
    exam_rule_line="{rule}: {text}",
    level_meaning=(
        "Model level I-IV and suspicion are learned from readers' opinion: no Lung-RADS category "
        "and no probability of cancer."
    ),
    more="... and {count} more in the structured report",
    versions="{name} {version}; device {device}; typical cases {bank}; weights {weights}",
    footnote="{name} {version}, revision {revision}",
)  # fmt: skip

CHINESE = Words(
    language="zh",
    full_stop="。",
    title="肺结节分析",
    not_for_diagnosis="仅供研究使用，不得用于诊断",
    made="生成于 {when}，修订 {revision}",
    patient="患者",
    patient_id="患者编号",
    birth_date="出生日期",
    sex_age="性别，年龄",
    study_date="检查日期",
    accession="检查号",
    study="检查",
    series="序列",
    institution="机构",
    scanner="设备",
    slices="层数",
    slices_value="{count} 层，层间距 {spacing} mm",
    lungs="肺容积",
    exam_lung_rads="Lung-RADS v2022（规则）",
    exam_lung_rads_value="{category}（适用：{applicable}）",
    lung_sides="{total} ml（右 {right}，左 {left}）",
    applicable={"yes": "是", "no": "否", "unknown": "未知"},
    nothing_found="未见超过阈值的结节。这并不能排除癌症。",
    one_found="报告 1 个结节。",
    many_found="报告 {count} 个结节。",
    most_suspicious=(
        "模型等级最高：结节 {number}（{description}），等级 {level}，可疑度 {suspicion}。"
    ),
    no_levels="未给出模型等级。",
    partial="不完整：{why}。",
    columns=(
        "编号", "位置", "类型", "长×短径 mm", "均径 mm", "体积 mm³", "模型等级",
        "I  II  III  IV", "可疑度", "Lung-RADS", "Brock",
    ),
    types={
        "solid": "实性", "part-solid": "部分实性", "ground-glass": "磨玻璃", "calcified": "钙化",
    },
    places={
        "right": "右肺", "left": "左肺", "right upper lobe": "右肺上叶",
        "right middle lobe": "右肺中叶", "right lower lobe": "右肺下叶",
        "left upper lobe": "左肺上叶", "left lower lobe": "左肺下叶",
    },
    unknown_place="肺",
    withheld="未给出",
    nodule="结节 {number}",
    level="模型等级 {level}（可疑度 {suspicion}）",
    lung_rads="Lung-RADS {category}",
    brock="Brock {risk}",
    measures="{long} x {short} mm",
    mean="均径 {size} mm",
    axial="横断面，图像 {image}",
    coronal="冠状面",
    sagittal="矢状面",
    whole_slice="整层",
    middle_slice="横断面",
    looked_at="已分析的图像：中间层及过其中心的两个平面",
    rest_in_key_images="结节 {numbers} 见关键图像。",
    contributions="各信息来源对结节 {number} 可疑度的影响（百分点）",
    modalities={
        "ct_image": "CT 图像", "ct_measures": "CT 测量值", "ct_report": "CT 报告",
        "clinical": "临床资料", "serology": "血清学", "pet": "PET",
    },
    one_modality="只有一种信息来源：{name}，无从比较。",
    simulated="学自模拟患者：{names}",
    masked="已知但未使用（按设置屏蔽）：{names}",
    comma="、",
    similar="与结节 {number} 相似的已评分病例",
    similar_line="{case}：等级 {level}，{evidence}，相似度 {similarity}",
    evidence={"reader-rated": "阅片者评分", "confirmed": "已证实"},
    no_similar="未列出。",
    follow_up="与 {days} 天前的 CT 相比",
    changed="{nodule}：{change}；{why}",
    listed_then="既往结节 {number}，{type}，{what}",
    notes="警告与局限",
    warning_line="警告：{text}",
    limit_line="{text}",
    exam_rule_line="{rule}：{text}",
    level_meaning=(
        "模型等级 I-IV 与可疑度学自阅片者意见：既不是 Lung-RADS 分类，也不是癌症概率。"
    ),
    more="……另有 {count} 项见结构化报告",
    versions="{name} {version}；计算设备 {device}；典型病例库 {bank}；权重 {weights}",
    footnote="{name} {version}，修订 {revision}",
)  # fmt: skip

WORDS: Mapping[str, Words] = {"en": ENGLISH, "zh": CHINESE}
