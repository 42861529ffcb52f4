/*
 * controlfile_layout.h
 *	  Where things stand in pg_control, by its version.
 */
#ifndef WA_CONTROLFILE_LAYOUT_H
#define WA_CONTROLFILE_LAYOUT_H

/* The same in every version (the comment in pg_control.h promises it). */
#define WA_CONTROLFILE_SYSID	0
#define WA_CONTROLFILE_VERSION	8

/*
 * pg_control_version, then the offsets of minRecoveryPoint, of its timeline,
 * of xlog_seg_size and of crc, on machines with 8-byte alignment.  Where a
 * row should be wrong for some build, the checksum at its own offset tells.
 *
 * In order: PostgreSQL 15 and 16; 17; 18; 19 beta 1 to 3; 19 of August 2026;
 * 19 beta 4 and later.
 */
#define WA_CONTROLFILE_LAYOUTS(ROW) \
	ROW(1300, 136, 144, 228, 288) \
	ROW(1700, 136, 144, 228, 288) \
	ROW(1800, 136, 144, 228, 292) \
	ROW(1902, 144, 152, 240, 304) \
	ROW(1903, 144, 152, 240, 308) \
	ROW(1905, 144, 152, 240, 308)

#endif							/* WA_CONTROLFILE_LAYOUT_H */
