/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace: tracepoints prereg:*, for perf and bpftrace. Off they cost a jump.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM prereg

#if !defined(PREREG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PREREG_TRACE_H

#include <linux/tracepoint.h>

/* Memory was pinned for an owner, or that failed: by a REGISTER, or (implicit) by a MAP of type 1 or 3. */
TRACE_EVENT(prereg_pin,
	TP_PROTO(u64 owner, u64 vaddr, u64 bytes, bool implicit, bool write,
		 int ret),
	TP_ARGS(owner, vaddr, bytes, implicit, write, ret),
	TP_STRUCT__entry(
		__field(u64, owner)
		__field(u64, vaddr)
		__field(u64, bytes)
		__field(bool, implicit)
		__field(bool, write)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->owner = owner;
		__entry->vaddr = vaddr;
		__entry->bytes = bytes;
		__entry->implicit = implicit;
		__entry->write = write;
		__entry->ret = ret;
	),
	TP_printk("owner=%llu vaddr=%#llx bytes=%llu implicit=%d write=%d ret=%d",
		  __entry->owner, __entry->vaddr, __entry->bytes,
		  __entry->implicit, __entry->write, __entry->ret)
);

/* A region was unpinned. */
TRACE_EVENT(prereg_put,
	TP_PROTO(u64 owner, u64 vaddr, u64 bytes),
	TP_ARGS(owner, vaddr, bytes),
	TP_STRUCT__entry(
		__field(u64, owner)
		__field(u64, vaddr)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->owner = owner;
		__entry->vaddr = vaddr;
		__entry->bytes = bytes;
	),
	TP_printk("owner=%llu vaddr=%#llx bytes=%llu", __entry->owner,
		  __entry->vaddr, __entry->bytes)
);

/* A MAP_DMA returns. */
TRACE_EVENT(prereg_map,
	TP_PROTO(unsigned long container, u64 iova, u64 vaddr, u64 bytes,
		 u32 flags, long ret),
	TP_ARGS(container, iova, vaddr, bytes, flags, ret),
	TP_STRUCT__entry(
		__field(unsigned long, container)
		__field(u64, iova)
		__field(u64, vaddr)
		__field(u64, bytes)
		__field(u32, flags)
		__field(long, ret)
	),
	TP_fast_assign(
		__entry->container = container;
		__entry->iova = iova;
		__entry->vaddr = vaddr;
		__entry->bytes = bytes;
		__entry->flags = flags;
		__entry->ret = ret;
	),
	TP_printk("container=%lu iova=%#llx vaddr=%#llx bytes=%llu flags=%#x ret=%ld",
		  __entry->container, __entry->iova, __entry->vaddr,
		  __entry->bytes, __entry->flags, __entry->ret)
);

/* An UNMAP_DMA returns. */
TRACE_EVENT(prereg_unmap,
	TP_PROTO(unsigned long container, u64 iova, u64 bytes, u32 flags,
		 long ret),
	TP_ARGS(container, iova, bytes, flags, ret),
	TP_STRUCT__entry(
		__field(unsigned long, container)
		__field(u64, iova)
		__field(u64, bytes)
		__field(u32, flags)
		__field(long, ret)
	),
	TP_fast_assign(
		__entry->container = container;
		__entry->iova = iova;
		__entry->bytes = bytes;
		__entry->flags = flags;
		__entry->ret = ret;
	),
	TP_printk("container=%lu iova=%#llx bytes=%llu flags=%#x ret=%ld",
		  __entry->container, __entry->iova, __entry->bytes,
		  __entry->flags, __entry->ret)
);

/* A BATCH returns: of MAPs or of UNMAPs (flags); refused is entries where it is none of them. */
TRACE_EVENT(prereg_batch,
	TP_PROTO(unsigned long container, u32 flags, u32 entries, u32 refused,
		 long ret),
	TP_ARGS(container, flags, entries, refused, ret),
	TP_STRUCT__entry(
		__field(unsigned long, container)
		__field(u32, flags)
		__field(u32, entries)
		__field(u32, refused)
		__field(long, ret)
	),
	TP_fast_assign(
		__entry->container = container;
		__entry->flags = flags;
		__entry->entries = entries;
		__entry->refused = refused;
		__entry->ret = ret;
	),
	TP_printk("container=%lu flags=%#x entries=%u refused=%u ret=%ld",
		  __entry->container, __entry->flags, __entry->entries,
		  __entry->refused, __entry->ret)
);

/* An owner ended: everything of it was revoked, flushed and put. */
TRACE_EVENT(prereg_release,
	TP_PROTO(u64 owner, u64 bytes, u64 mappings, u64 duration_ns),
	TP_ARGS(owner, bytes, mappings, duration_ns),
	TP_STRUCT__entry(
		__field(u64, owner)
		__field(u64, bytes)
		__field(u64, mappings)
		__field(u64, duration_ns)
	),
	TP_fast_assign(
		__entry->owner = owner;
		__entry->bytes = bytes;
		__entry->mappings = mappings;
		__entry->duration_ns = duration_ns;
	),
	TP_printk("owner=%llu bytes=%llu mappings=%llu duration_ns=%llu",
		  __entry->owner, __entry->bytes, __entry->mappings,
		  __entry->duration_ns)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
