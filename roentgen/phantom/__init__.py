"""Analytic thorax phantoms, projected to radiographs whose ground truth is known exactly.

All lengths are in millimeters: x toward the patient's left, y toward the head, z toward the front;
the origin is between the hila. `thorax` has the patient's anatomy, `air` the aeration of the
lungs, `lesions` the findings, `strands` the structures thinner than a voxel (bones, vessels,
devices), `study` images and masks, `context` the clinical context, `reports` the reports;
`roentgen.projection` has the X-ray beam and the film.
"""
