/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints are empty functions here, see TRACE_EVENT in kernel.h. */
