"""The profiles that come with this version, one YAML file each (`dicom_node.compose.profile`)."""
