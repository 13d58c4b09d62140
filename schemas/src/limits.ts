/*
 * Limits of every variable length in a record, checked before anything is allocated for it. A writer
 * that would exceed one is wrong (an assertion); a message that does is refused (RECORD_TOO_LONG).
 */

/** Longest disk, agent, site, group, request or member id and longest name, UTF-8 bytes. */
export const idBytesMax = 255
/** Longest free text (reasons, codes), UTF-8 bytes. */
export const textBytesMax = 4096
/** Most events in one WriteGroup. */
export const writeGroupEventsMax = 16_384
/** Most extents in one UpdateSet. */
export const updateSetExtentsMax = 65_536
/** Most joints in one UpdateSet. */
export const updateSetJointsMax = 65_536
/** Most disks in one consistency group. */
export const groupMembersMax = 1024
/** Most disks in one Heartbeat. */
export const heartbeatDisksMax = 16_384
/** Largest byte offset or size of a disk: what a number holds exactly. */
export const safeMax = Number.MAX_SAFE_INTEGER
export const uint32Max = 0xffff_ffff
