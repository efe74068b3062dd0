//go:build race

package main

// raced: the race detector makes everything ten times as dear, and what long lists add to it is length alone.
const raced = true
