import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createSparseFile, replaceFile } from './durable-create.ts'

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'blockferry-create-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

test('a sparse file is created whole, with nothing left beside it', async () => {
  const directory = scratch()
  await createSparseFile(join(directory, 'vda.raw'), 1 << 20)
  expect(readdirSync(directory)).toEqual(['vda.raw'])
  expect(statSync(join(directory, 'vda.raw'))).toMatchObject({ size: 1 << 20, blocks: 0 })
})

test('a file that somebody else made meanwhile is left as it is: they may hold its lock', async () => {
  const directory = scratch()
  const path = join(directory, 'vda.raw')
  writeFileSync(path, 'theirs')
  const before = statSync(path)
  await createSparseFile(path, 1 << 20)
  expect(statSync(path).ino).toBe(before.ino)
  expect(readFileSync(path, 'utf8')).toBe('theirs')
  expect(readdirSync(directory)).toEqual(['vda.raw'])
})

test('of many that create one file at once, all find the same one', async () => {
  const directory = scratch()
  const path = join(directory, 'vda.raw')
  const created = Array.from({ length: 20 }, async () => {
    await createSparseFile(path, 4096)
    return statSync(path).ino
  })
  expect(new Set(await Promise.all(created)).size).toBe(1)
  expect(readdirSync(directory)).toEqual(['vda.raw'])
})

test('replacing leaves the new content, and nothing beside it', async () => {
  const directory = scratch()
  const path = join(directory, 'control')
  await replaceFile(path, Buffer.from('old'))
  await replaceFile(path, Buffer.from('new'))
  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(readdirSync(directory)).toEqual(['control'])
})
