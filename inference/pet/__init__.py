"""What a PET beside the CT shows of a nodule."""
