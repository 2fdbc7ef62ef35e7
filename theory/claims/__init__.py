"""Claims, one file per paper or topic; every module here is found and registered by itself."""
