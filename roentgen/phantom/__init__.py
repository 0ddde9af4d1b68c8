"""Analytic thorax phantoms, projected to radiographs whose ground truth is known exactly.

All lengths are in millimeters: x toward the patient's left, y toward the head, z toward the front;
the origin is between the hila. `thorax` has the patient's anatomy, `lesions` and `air` the findings
and the aerated field, `strands` the structures thinner than a voxel (bones, vessels, devices),
`roentgen.projection` the beam and the film, `reports` the report.
"""
