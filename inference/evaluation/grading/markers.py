"""Blood markers of lung cancer: order, cut-offs and units."""

from __future__ import annotations

CUT_OFFS = {"cea": 5.0, "cyfra_21_1": 3.3, "nse": 12.5, "scc": 3.92, "progrp": 103.47}
"""Upper reference limits. CEA, CYFRA 21-1, NSE as in Seemann et al., Lung Cancer 1999;26:149; SCC,
ProGRP as in Li and Sang, Clin Lab, "Diagnostic value ... of CYFRA21-1, SCC Ag, NSE, CEA and ProGRP
in non-small cell lung carcinoma"."""
UNITS = {
    "cea": "ng/mL",
    "cyfra_21_1": "ng/mL",
    "nse": "ng/mL",
    "scc": "ng/mL",
    "progrp": "pg/mL",
}
NAMES = {
    "cea": "Carcinoembryonic antigen (CEA)",
    "cyfra_21_1": "Cytokeratin 19 fragment (CYFRA 21-1)",
    "nse": "Neuron-specific enolase (NSE)",
    "scc": "Squamous cell carcinoma antigen (SCC)",
    "progrp": "Pro-gastrin-releasing peptide (ProGRP)",
}
SEROLOGY = tuple(f"log_{marker}" for marker in CUT_OFFS)
"""Columns of the modality ``serology``: natural logarithms of the concentrations."""
