package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"raccordo/contracts"
)

// strangers writes a list of n persons whom no register knows, under codes that are well formed.
func strangers(t testing.TB, n int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "strangers.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "id,codice_fiscale,partita_iva,denominazione,capacity")
	for i := range n {
		fmt.Fprintf(w, "S%06d,%s,,Sconosciuto %d,person\n", i, strangerCode(t, i), i)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// strangerCode is the code of nobody: every name begins with the same letters and goes on with the number's, in consonants,
// as the published pattern of codes wants it.
func strangerCode(t testing.TB, i int) string {
	t.Helper()
	const letters = "BCDFGHJKLMNPQRSTVWXYZ"
	stem := "QQ"
	for range 4 {
		stem += string(letters[i%len(letters)])
		i /= len(letters)
	}
	stem += "80A01H501"
	for check := 'A'; check <= 'Z'; check++ {
		if _, err := contracts.ParseCodiceFiscale(stem + string(check)); err == nil {
			return stem + string(check)
		}
	}
	t.Fatal("no check character fits")
	return ""
}
