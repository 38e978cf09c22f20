// Package labels writes what stands on a parcel.
package labels

import "fmt"

// Parcel is the label of the parcel with a number.
func Parcel(number int) string {
	return fmt.Sprintf("parcel %04d", number)
}
