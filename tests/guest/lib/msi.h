/* SPDX-License-Identifier: GPL-2.0 */
/* A device's message-signalled interrupt, told on an eventfd as VFIO does it. */
#ifndef GUEST_MSI_H
#define GUEST_MSI_H

#include <stdbool.h>

#include "edu.h"

/* Turns the first MSI of @device (a VFIO device fd) on; an eventfd that counts it, or -errno. Close it. */
int msi_open(int device);
/* Turns it off; closing the device does that too. */
int msi_off(int device);

/* Does the device's interrupt come, exactly once, when it is told to raise it? */
bool msi_comes(struct edu *edu, int eventfd);
/* The same for the interrupt with which a DMA of 64 bytes to the device's buffer ends. */
bool msi_ends_dma(struct edu *edu, int eventfd, uint64_t iova);

#endif
