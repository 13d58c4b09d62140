import { GiB, MiB } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import { faultsBetweenDisks, parseDiskOption } from './disk-option.ts'

function faultsOf(text: string): readonly string[] {
  const result = parseDiskOption(text)
  return result.ok ? [] : result.faults
}

describe('--disk', () => {
  test('reads every field', () => {
    expect(parseDiskOption('id=vda,size=1G,source=/a,target=/b,provisioning=thin,group=db')).toEqual({
      ok: true,
      disk: {
        id: 'vda',
        sizeBytes: GiB,
        source: '/a',
        target: '/b',
        provisioning: 'thin',
        groupId: 'db',
      },
    })
  })

  test('leaves unnamed files and a source’s own size to the lab', () => {
    const result = parseDiskOption('id=vdb,source=/data/x.raw')
    expect(result).toMatchObject({ ok: true, disk: { sizeBytes: null, target: null, groupId: null } })
  })

  test.each([
    ['1048576', MiB],
    ['1M', MiB],
    ['3GiB', 3 * GiB],
    ['1t', 1024 * GiB],
  ])('reads size %s', (size, sizeBytes) => {
    expect(parseDiskOption(`id=a,size=${size}`)).toMatchObject({ disk: { sizeBytes } })
  })

  test('names all faults of one disk at once', () => {
    const faults = faultsOf('id=a/b,size=1.5G,colour=red,group=,provisioning=thick-lazy,target=nbd+unix:///x')
    expect(faults).toHaveLength(6)
    for (const word of ['colour', 'group', 'a/b', '1.5G', 'thick-lazy', 'nbd+unix']) {
      expect(faults.some((line) => line.includes(word))).toBe(true)
    }
  })

  test.each(['id=a', 'size=1G', 'id=a,size=513', 'id=a,size=100K', 'id=a,id=b,size=1G', '', 'id=a,size=1G,'])(
    'refuses %j',
    (text) => {
      expect(faultsOf(text).length).toBeGreaterThan(0)
    },
  )

  test('refuses two disks with one id or one file', () => {
    const disks = ['id=a,size=1G,source=/x', 'id=a,size=1G,source=/y,target=/x'].map((text) => {
      const result = parseDiskOption(text)
      if (!result.ok) throw new Error('expected a disk')
      return result.disk
    })
    expect(faultsBetweenDisks(disks)).toHaveLength(2)
  })
})
