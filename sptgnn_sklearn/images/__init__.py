"""Satellite chips: paths to arrays, arrays to embeddings, and an encoder that can be tuned.

- `modalities`: what a column of chips holds: bands, units, scale
- `files`, `rasters`, `extraction`: big rasters to chips around points
- `chips`: a file to a normalised array
- `terramind`: the encoder, through terratorch
- `store`: embeddings on disk, written once
- `imagery`: a table's columns of paths to embeddings
- `embedder`: frozen encoder, imagery and store together; `transformer` is the same for scikit-learn
- `archive`, `members`: decoded chips, and encoders that are tuned with the network
- `simulation`: chips of made-up surveys
"""
