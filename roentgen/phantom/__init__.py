"""A thorax made of formulas, projected to films whose truth is known exactly.

Millimetres everywhere: x toward the patient's left, y toward the head, z toward the front; the
origin lies between the hila. `thorax` says who the patient is and where the air is, `bones`,
`vessels` and `devices` add what is thinner than a voxel, `projection` sends the beam through,
`film` develops it, `reports` writes what a radiologist would say.
"""
