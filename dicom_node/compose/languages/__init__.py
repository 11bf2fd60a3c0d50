"""The words of reports, one YAML file per language (`dicom_node.compose.words`)."""
