// Two handlers for one video: copied through a buffer, or handed to the kernel. The response writer of
// Go uses sendfile by itself where it is given a file; hiding the file behind a plain reader takes
// that away.
package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }

func main() {
	root := os.Args[1]
	serve := func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(filepath.Join(root, filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		stat, err := file.Stat()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Content-Length", strconv.FormatInt(stat.Size(), 10))
		if r.URL.Query().Get("method") == "io" {
			io.CopyBuffer(onlyWriter{w}, onlyReader{file}, make([]byte, 32*1024))
		} else {
			io.Copy(w, file)
		}
	}
	if err := http.ListenAndServe(os.Args[2], http.HandlerFunc(serve)); err != nil {
		panic(err)
	}
}
