"""Terms of the rule labeler: for findings, and for structures whose adjective implies a finding.

They follow the mention lists of the CheXpert labeler (Irvin et al. 2019): scars and infiltrates
are Lung Opacity, congestion and heart failure are Edema, nodular opacities are Lung Lesion as well
as Lung Opacity. In a term "a|b" are alternatives and a trailing "?" marks an optional word.
"""

from roentgen.record.radiograph import FindingName

# By the findings they name and their detail, a noun of `vocabulary.DETAIL_NOUNS`.
FINDING_TERMS: dict[tuple[tuple[FindingName, ...], str | None], tuple[str, ...]] = {
    (("Atelectasis",), None): (
        "atelectasis|atelectases|atelectatic|atelectasia",
        "lung|lobar|lobe|segmental collapse",
        "collapse of the? left|right? upper|lower|middle? lung|lobe",
        "collapsed lung|lobe",
        "platelike|plate opacity|opacities",
    ),
    (("Cardiomegaly",), None): (
        "cardiomegaly",
        "cardiac|heart enlargement",
        "enlarged|large|big|prominent heart size|silhouette|shadow|contour?",
        "enlarged|large|big|prominent cardiac silhouette|size|shadow|contour",
        "enlargement|prominence of the? heart size|silhouette|shadow|contour?",
        "enlargement|prominence of the? cardiac silhouette|size|shadow|contour",
        "increased heart|cardiac size",
        "increase in heart|cardiac size",
        "increase in size of the cardiac silhouette",
    ),
    (("Consolidation",), None): ("consolidation|consolidations|consolidative|consolidated",),
    (("Edema",), None): (
        "edema|oedema|edematous",
        "heart|cardiac failure|decompensation",
        "chf",
        "vascular|pulmonary|venous congestion",
        "congestion",
        "congestive changes|change|heart?",
        "pulmonary|central? vascular prominence|engorgement|redistribution|cephalization",
        "vascular indistinctness",
        "kerley b? lines",
        "b|septal lines",
        "prominence|engorgement of the? central? pulmonary? vascularity|vasculature|vessels",
        "prominent|engorged|congested central? pulmonary? vascularity|vasculature|vessels",
        "cephalization",
        "fluid overload",
    ),
    (("Enlarged Cardiomediastinum",), None): (
        "mediastinal|cardiomediastinal widening|enlargement|prominence",
        "wide|widened|enlarged|prominent superior|upper? mediastinum",
        "wide|widened|enlarged|prominent superior|upper? mediastinal"
        " silhouette|contour|contours|shadow",
        "enlarged|widened|prominent cardiomediastinum",
        "enlarged|widened|prominent cardiomediastinal|cardiopericardial"
        " silhouette|contour|contours|shadow",
        "widening|prominence|enlargement of the? superior|upper? mediastinum",
        "widening|prominence|enlargement of the? superior|upper? mediastinal|cardiomediastinal"
        " silhouette|contour|contours|structures",
    ),
    (("Fracture",), None): ("fracture|fractures|fractured", "compression deformity|deformities"),
    (("Fracture",), "rib fracture"): (
        "rib|ribs fracture|fractures",
        "fractured|broken rib|ribs",
        "fracture|fractures of the? left|right? anterior|posterior|lateral? rib|ribs",
    ),
    (("Fracture",), "clavicle fracture"): ("clavicle|clavicular fracture|fractures",),
    (("Fracture",), "vertebral fracture"): (
        "vertebral body? compression|wedge? fracture|fractures|deformity|deformities",
        "compression|wedge fracture|fractures",
    ),
    (("Lung Lesion",), "mass"): ("mass|masses", "masslike", "mass like", "tumor|tumors|neoplasm"),
    (("Lung Lesion",), "nodule"): (
        "nodule|nodules|micronodules",
        "nodular|rounded|round density|densities|lesion|lesions",
        "nodular|rounded|round calcific|calcified density|densities",
    ),
    (("Lung Lesion", "Lung Opacity"), "nodule"): (
        "nodular airspace|interstitial|parenchymal? opacity|opacities|opacification",
        "nodular infiltrate|infiltrates",
        "fibronodular infiltrate|infiltrates|opacity|opacities",
        "rounded|round opacity|opacities",
    ),
    (("Lung Lesion", "Lung Opacity"), "mass"): (
        "masslike opacity|opacities|consolidation",
        "mass like opacity|opacities|consolidation",
    ),
    (("Lung Lesion",), None): (
        "lung|pulmonary|cavitary|metastatic|parenchymal lesion|lesions",
        "metastases|metastasis|carcinoma|malignancy",
        "metastatic disease",
        "cavitary opacity|opacities",
    ),
    (("Lung Opacity",), None): (
        "opacity|opacities|opacification|opacifications|opacified",
        "airspace|alveolar disease|process|filling|changes",
        "air space disease|process|filling",
        "increased lung|pulmonary|interstitial|focal? density|densities",
        "lung|pulmonary|parenchymal|interstitial|streaky|linear|patchy|hazy density|densities",
        "interstitial|reticular|lung markings|marking",
        "increased|prominent|coarse|coarsened bronchovascular? markings",
        "interstitial pattern|prominence|thickening|changes|change",
        "interstitial lung? disease",
        "reticular|reticulonodular pattern|changes",
        "reticulation|reticulations",
        "scar|scars|scarring|scarred",
        "peribronchial|bronchial wall? thickening|cuffing",
        "haziness",
    ),
    (("Lung Opacity",), "infiltrate"): ("infiltrate|infiltrates|infiltration|infiltrations",),
    (("Pleural Effusion",), None): (
        "effusion|effusions",
        "pleural|subpulmonic|retrocardiac fluid collection|collections?",
        "fluid in the left|right? pleural space",
        "hemothorax|empyema",
    ),
    (("Pleural Effusion", "Pneumothorax"), None): (
        "hydropneumothorax|hydropneumothoraces|hemopneumothorax",
    ),
    (("Pleural Other",), "pleural thickening"): (
        "pleural|pleuroparenchymal|fissural|apical thickening",
        "thickening of the? left|right? minor|major? pleura|fissure",
        "pleural scar|scarring or|and|/ thickening",
        "thickened pleura",
        "apical|pleural cap|capping",
    ),
    (("Pleural Other",), "pleural scarring"): (
        "pleural|pleuroparenchymal|fissural scar|scars|scarring",
        "pleural parenchymal|based scar|scars|scarring",
        "pleural / parenchymal scar|scars|scarring",
    ),
    (("Pleural Other",), None): (
        "fibrothorax",
        "pleural plaque|plaques|calcification|calcifications|lesion|lesions|mass|masses",
        "calcified|calcific pleural? plaque|plaques",
        "pleural abnormality|abnormalities|disease",
    ),
    (("Pneumonia",), None): (
        "pneumonia|pneumonias|bronchopneumonia|pneumonitis|pneumonic",
        "infection|infections|infectious",
    ),
    (("Pneumothorax",), None): ("pneumothorax|pneumothoraces|pneumothoraxes",),
    (("Support Devices",), None): (
        "tube|tubes|tubing|line|lines|drain|drains",
        "catheter|catheters|device|devices|stimulator|monitor",
        "electrode|electrodes|cannula|generator",
        "lead|leads tip|tips|wires",
        "leads",
        "hardware|screw|screws|plate|plates|prosthesis|prosthetic|arthroplasty|coil|coils",
        "valve|cardiac replacement|prosthesis",
        "lvad|balloon pump",
        "ivc|caval|greenfield filter",
        "bone anchor|anchors",
        "distal|catheter tip|tips",
        "tip|tips in|at|overlies|overlying|projects|projecting|terminates|terminating"
        "|approximating|within|over",
        "tip|tips is|are in|at|within|over|projecting",
        "monitoring|support equipment|devices|apparatus",
    ),
    (("Support Devices",), "endotracheal tube"): (
        "endotracheal|et tube|tubes",
        "ett",
        "tracheostomy tube|cannula|catheter?",
    ),
    (("Support Devices",), "nasogastric tube"): (
        "nasogastric|orogastric|enteric|feeding|ng|og|dobbhoff tube|tubes|catheter?",
        "dobbhoff",
    ),
    (("Support Devices",), "chest tube"): (
        "chest|pleural|pigtail|thoracostomy|intercostal tube|tubes|drain|drains|catheter",
        "pigtail",
    ),
    (("Support Devices",), "central line"): (
        "central venous? line|lines|catheter|catheters|access",
        "picc|piccs line|lines|catheter|catheters?",
        "ij|jugular|subclavian|tunneled|dialysis|internal? central? venous?"
        " line|lines|catheter|catheters|picc",
        "mediport|port|portacath|infusaport|vascath|permcath|hickman|cvc|cvl|swan",
        "port|infuse a? cath|catheter",
        "venous line|catheter",
    ),
    (("Support Devices",), "pacemaker"): (
        "pacemaker|pacer|pacemakers|aicd|icd|defibrillator|defibrillators",
        "pacing|pacemaker|pacer|icd|aicd|defibrillator wire|wires|lead|leads|device|generator",
        "cardiac generator|pacemaker|pacer|device|leads",
    ),
    (("No Finding",), None): (
        "acute|active|significant cardiac|cardiopulmonary|pulmonary|intrathoracic|chest|disease"
        "|cardiothoracic|thoracic? abnormality|abnormalities|disease|process|processes|finding"
        "|findings|pathology|changes|infiltrates",
        "abnormality|abnormalities",
    ),
}

# "The heart is enlarged", "the lungs are clear": by the findings that the adjective decides.
STRUCTURE_TERMS: dict[tuple[FindingName, ...], tuple[str, ...]] = {
    ("Cardiomegaly",): (
        "heart size|silhouette|shadow|contour|contours?",
        "cardiac size|silhouette|shadow|contour|contours",
        "size of the heart",
        "cardiac silhouette size",
    ),
    ("Enlarged Cardiomediastinum",): (
        "mediastinum",
        "mediastinal silhouette|contour|contours|structures|shadow|width",
    ),
    ("Enlarged Cardiomediastinum", "Cardiomegaly"): (
        "cardiomediastinal|cardiopericardial silhouette|silhouettes|contour|contours|structures",
        "cardio mediastinal silhouette|silhouettes|contour|contours",
        "cardiomediastinum",
        "cardiac and mediastinal silhouette|silhouettes|contour|contours|structures",
    ),
    ("Edema",): (
        "pulmonary|central|hilar vascularity|vasculature|vessels",
        "vascularity|vasculature",
    ),
    ("Lung Opacity",): ("lungs", "lung fields|zones"),
    ("Pleural Effusion",): ("pleural space|spaces", "costophrenic angle|angles|sulcus|sulci"),
}
