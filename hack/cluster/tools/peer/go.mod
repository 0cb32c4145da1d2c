module tabard.dev/interop/peer

go 1.26
