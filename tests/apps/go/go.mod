module example.com/parcels

go 1.27

require example.com/labels v1.2.0
