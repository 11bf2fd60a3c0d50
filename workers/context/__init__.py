"""What is known of patients beside their CT: HL7 v2 and FHIR become facts, facts become context."""
