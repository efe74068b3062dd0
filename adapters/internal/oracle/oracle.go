// Package oracle lets adapters' tests hold what they really sent against the suppliers' official contracts. The
// contracts lie outside the repository, where their licences leave them: in the folder that RACCORDO_SHARED names.
package oracle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Folder is where the reference files lie: RACCORDO_SHARED, by default ../shared beside the repository. The test is
// skipped where there is none, and fails where a folder was named and is not there.
func Folder(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(root)
		if parent == root {
			t.Fatal("oracle: the test does not run inside the repository")
		}
		root = parent
	}
	dir, named := os.LookupEnv("RACCORDO_SHARED")
	if !named {
		dir = filepath.Join("..", "shared")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, dir)
	}
	dir = filepath.Join(dir, "reference")
	if _, err := os.Stat(dir); err != nil {
		if named {
			t.Fatalf("oracle: RACCORDO_SHARED names a folder without reference files: %v", err)
		}
		t.Skip("oracle skipped: no reference files; name their folder in RACCORDO_SHARED")
	}
	return dir
}

// A Contract is an official OpenAPI file.
type Contract struct{ router routers.Router }

// Load reads a file below Folder.
func Load(t testing.TB, file string) *Contract {
	t.Helper()
	return load(t, filepath.Join(Folder(t), file))
}

// Modelled reads a file of the repository, by its path from the test's folder: a contract that we assume for want of a
// public one.
func Modelled(t testing.TB, file string) *Contract {
	t.Helper()
	return load(t, file)
}

func load(t testing.TB, file string) *Contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatalf("oracle: %s: %v", file, err)
	}
	doc.Servers = nil // the paths are what counts: every environment has its own base
	// A pattern of the PDND's repeats more often than Go's engine allows; it stands in an answer, not in a request.
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaPatternValidation(),
		openapi3.AllowExtraSiblingFields("example")) // beside a $ref, in a client's file
	if err != nil {
		t.Fatalf("oracle: %s: %v", file, err)
	}
	return &Contract{router}
}

// Request holds one request, as it stood on the wire, against the contract. base is the path of the service, which the
// contract's own paths leave out.
func (c *Contract) Request(raw []byte, base string) error {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return fmt.Errorf("oracle: read request: %w", err)
	}
	if _, body, ok := bytes.Cut(raw, []byte("\r\n\r\n")); ok {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	path, ok := strings.CutPrefix(r.URL.Path, base)
	if !ok {
		return errors.New("oracle: the request is not below the base")
	}
	r.URL.Path, r.URL.RawPath = path, strings.TrimPrefix(r.URL.RawPath, base)
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		return fmt.Errorf("oracle: no such operation: %w", err)
	}
	err = openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			if !strings.HasPrefix(in.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ") {
				return errors.New("no bearer token")
			}
			return nil
		}},
	})
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	return nil
}
