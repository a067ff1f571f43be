\ SPDX-License-Identifier: GPL-2.0
\ For SLOF, the firmware of qemu-pseries: makes, fills, empties and removes the second DMA window. WINDOW is its bus address. Without
\ its lines that start with a backslash it is one line of the firmware's boot-command.
800000020000000 to puid
: ddw-create s" ibm,create-pe-dma-window" rtas-get-token rtas-cb rtas>token l! 5 rtas-cb rtas>nargs l! 4 rtas-cb rtas>nret l! 0 rtas-cb rtas>args0 l! puid 20 rshift rtas-cb rtas>args1 l! puid rtas-cb rtas>args2 l! rtas-cb rtas>args4 l! rtas-cb rtas>args3 l! enter-rtas ." CREATE " rtas-cb rtas>args5 l@ . cr ;
: ddw-remove s" ibm,remove-pe-dma-window" rtas-get-token rtas-cb rtas>token l! 1 rtas-cb rtas>nargs l! 1 rtas-cb rtas>nret l! rtas-cb rtas>args0 l! enter-rtas ." REMOVE " rtas-cb rtas>args1 l@ . cr ;
: map 0 do 80000001 WINDOW i 10000 * + i 10000 * 2000000 + 3 or hv-put-tce drop loop ;
: unmap 0 do 80000001 WINDOW i 10000 * + 0 hv-put-tce drop loop ;
10 1d ddw-create 100 map ." MAPPED" cr key drop
40 unmap ." UNMAPPED" cr key drop
80000001 ddw-remove 10 1e ddw-create ." RESIZED" cr key drop
