"""Our results in the words of hospital systems that speak no DICOM: HL7 v2 and FHIR."""
