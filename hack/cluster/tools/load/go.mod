module tabard.dev/bench/load

go 1.26
