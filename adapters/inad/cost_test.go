package inad

import (
	"testing"
)

const playServer = "RACCORDO_PLAY_SERVER"

func playAsServer() {}

func BenchmarkExtract(b *testing.B) { b.Skip() }
