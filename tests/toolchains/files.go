// Reads, makes, lists and removes files, and says what the environment has.
package main

import (
	"fmt"
	"os"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	fmt.Printf("%s: %s%v, WORD is %s\n", os.Args[1], text, err, os.Getenv("WORD"))
	fmt.Println(os.MkdirAll("/work/made/deep", 0o755), os.WriteFile("/work/made/deep/file", []byte("written"), 0o644))
	fmt.Println(os.Rename("/work/made/deep/file", "/work/made/file"))
	entries, err := os.ReadDir("/work/made")
	for _, entry := range entries {
		fmt.Println(entry.Name(), entry.IsDir())
	}
	fmt.Println(err, os.RemoveAll("/work/made"))
	_, err = os.ReadFile("/nowhere")
	fmt.Println(err)
	os.Exit(1)
}
