import { readFile } from 'node:fs/promises'

/**
 * The kernel's random id of this boot (36 characters). Another one than last time means that the page
 * cache was lost in between: what was not fsynced may be gone.
 */
export async function readBootId(path = '/proc/sys/kernel/random/boot_id'): Promise<string> {
  return (await readFile(path, 'utf8')).trim()
}
