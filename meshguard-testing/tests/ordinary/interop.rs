//! Interoperability cases of gRPC, over this mesh and over stock tonic.
