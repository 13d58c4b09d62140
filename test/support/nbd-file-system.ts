import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { expect } from 'vitest'

import type { ServedDisk } from './nbd-plain-server.ts'
import { runTool, tryTool } from './run-tool.ts'

/** Files of a tree, by name, and the SHA-256 of each. */
export type FileDigests = ReadonlyMap<string, string>

/**
 * Makes ext4 on the disk through nbdfuse and a loop device, fills it, and checks the backing file by itself.
 * Returns what was written.
 */
export async function writeAndCheckFileSystem(disk: ServedDisk, directory: string): Promise<FileDigests> {
  const written = await onLoopDevice(disk, directory, async (device) => {
    await runTool('mkfs.ext4', '-q', '-F', device)
    return mounted(device, { directory }, fillTree)
  })
  const checked = await runTool('e2fsck', '-fn', disk.backingPath)
  expect(checked).toContain('Pass 5')
  const readBack = await onLoopDevice(disk, directory, (device) =>
    mounted(device, { directory }, (root) => digestTree(root, [...written.keys()])),
  )
  expect(readBack).toEqual(written)
  return written
}

/** Checks an image that nobody serves: a clean ext4 with exactly these files. */
export async function checkFileSystemOfImage(
  image: string,
  expected: { readonly files: FileDigests; readonly directory: string },
): Promise<void> {
  const { directory, files } = expected
  expect(await runTool('e2fsck', '-fn', image)).toContain('Pass 5')
  const device = (await runTool('losetup', '--read-only', '--find', '--show', image)).trim()
  try {
    const found = await mounted(device, { directory, readOnly: true }, async (root) =>
      digestTree(root, await fileNames(root)),
    )
    expect(found).toEqual(files)
  } finally {
    await runTool('losetup', '--detach', device)
  }
}

/** Every file below a folder, lost+found left out. */
async function fileNames(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => relative(root, join(parentPath, name)))
}

async function fillTree(root: string): Promise<Map<string, string>> {
  const names: string[] = []
  for (let index = 0; index < 200; index += 1) {
    const folder = join(root, `folder-${index % 10}`)
    await mkdir(folder, { recursive: true })
    const name = join(`folder-${index % 10}`, `file-${index}`)
    await writeFile(join(root, name), randomBytes(1 + ((index * 7919) % 200_000)))
    names.push(name)
  }
  await runTool('sync', '-f', root)
  return digestTree(root, names)
}

async function digestTree(root: string, names: readonly string[]): Promise<Map<string, string>> {
  const digests = new Map<string, string>()
  for (const name of names) {
    const content = await readFile(join(root, name))
    digests.set(name, createHash('sha256').update(content).digest('hex'))
  }
  return digests
}

async function mounted<T>(
  device: string,
  where: { readonly directory: string; readonly readOnly?: boolean },
  body: (root: string) => Promise<T>,
): Promise<T> {
  const { directory, readOnly = false } = where
  // No journal replay: the image has to be whole as it is.
  const options = readOnly ? ['-o', 'ro,noload'] : []
  const root = join(directory, 'mounted')
  await mkdir(root, { recursive: true })
  await runTool('mount', '-t', 'ext4', ...options, device, root)
  try {
    return await body(root)
  } finally {
    await runTool('umount', root)
  }
}

/** The disk as a kernel block device while `body` runs: NBD → FUSE file → loop device. */
async function onLoopDevice<T>(
  disk: ServedDisk,
  directory: string,
  body: (device: string) => Promise<T>,
): Promise<T> {
  const file = join(directory, 'fuse-file')
  await writeFile(file, '')
  const fuse = spawn('nbdfuse', [file, disk.uri], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise<void>((resolve) => fuse.once('exit', () => resolve()))
  try {
    await expect.poll(async () => (await stat(file)).size, { timeout: 10_000 }).toBe(disk.sizeBytes)
    const device = (await runTool('losetup', '--find', '--show', file)).trim()
    try {
      return await body(device)
    } finally {
      await runTool('losetup', '--detach', device)
    }
  } finally {
    // The loop device lets go of the file a moment after it was detached.
    await expect
      .poll(async () => (await tryTool('fusermount3', '-u', file)).status, { timeout: 10_000 })
      .toBe(0)
    await ended
  }
}
