//go:build race

package inad

const raceEnabled = true
