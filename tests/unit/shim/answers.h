/* SPDX-License-Identifier: GPL-2.0 */
/* What the fakes have: the interfaces of Linux 6.1. */
#define PREREG_HAS_VFIO_NOTIFY
