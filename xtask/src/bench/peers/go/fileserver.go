// The file server of Go's standard library, as most programs use it.
package main

import (
	"net/http"
	"os"
)

func main() {
	if err := http.ListenAndServe(os.Args[2], http.FileServer(http.Dir(os.Args[1]))); err != nil {
		panic(err)
	}
}
