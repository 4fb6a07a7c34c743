// SPDX-License-Identifier: Apache-2.0
/* Files of many kinds, or their beginnings, and what they are. */
#ifndef UNIT_MEDIA_SAMPLES_H
#define UNIT_MEDIA_SAMPLES_H
#include "base/base.h"

#define OOXML "application/vnd.openxmlformats-officedocument."
#define ODF "application/vnd.oasis.opendocument."
#define DOCX OOXML "wordprocessingml.document"
#define XLSX OOXML "spreadsheetml.sheet"
#define PPTX OOXML "presentationml.presentation"

enum {
    FILLED = 1, /* bytes without a meaning follow */
    OURS = 2,   /* libmagic's own database does not know, or is wrong */
    UTF16 = 4,  /* in UTF-16, little end first, after a byte order mark */
};

struct sample {
    const char *type;
    const char *bytes;
    size_t len;
    unsigned how;
};

#define SAMPLE(type, bytes, how)                                                                   \
    {                                                                                              \
        type, bytes, sizeof(bytes) - 1, how                                                        \
    }
#define TEXT(type, bytes) SAMPLE(type, bytes, 0)
#define BYTES(type, bytes) SAMPLE(type, bytes, FILLED)

static const struct sample plain_samples[] = {
    /* documents */
    BYTES("application/pdf", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"),
    TEXT("application/pdf", "%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"),
    BYTES("application/pdf", "\xef\xbb\xbf%PDF-1.4\n"),
    BYTES("application/pdf", "\n%PDF-1.4\n"),
    BYTES("application/vnd.fdf", "%FDF-1.2\n"),
    TEXT("application/postscript", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"),
    TEXT("application/postscript", "\4%!PS-Adobe-3.0\n"),
    BYTES("image/x-eps", "\xc5\xd0\xd3\xc6\x20\0\0\0"),
    TEXT("text/rtf", "{\\rtf1\\ansi\\deff0 {\\fonttbl}hello}"),
    BYTES("text/rtf", "{\\rtf1\\ansi\n"),
    BYTES("image/vnd.djvu", "AT&TFORM\0\0\0\x20"
                            "DJVUINFO"),
    BYTES("application/vnd.wordperfect", "\xffWPC\x10\0\0\0\1\x0a"),
    BYTES("application/x-msaccess", "\0\1\0\0Standard Jet DB\0"),
    BYTES("application/vnd.ms-tnef", "\x78\x9f\x3e\x22"),
    /* archives */
    BYTES("application/x-7z-compressed", "7z\xbc\xaf\x27\x1c\0\4"),
    BYTES("application/x-rar", "Rar!\x1a\x07\0\xcf\x90\x73"),
    BYTES("application/x-rar", "Rar!\x1a\x07\1\0"),
    BYTES("application/gzip", "\x1f\x8b\x08\0\0\0\0\0\2\3"),
    BYTES("application/x-compress", "\x1f\x9d\x90"),
    BYTES("application/x-bzip2", "BZh91AY&SY"),
    BYTES("application/x-xz", "\xfd"
                              "7zXZ\0\0\4"),
    BYTES("application/zstd", "\x28\xb5\x2f\xfd\x04\0"),
    BYTES("application/x-lz4", "\x04\x22\x4d\x18\x64\x40\xa7"),
    BYTES("application/vnd.ms-cab-compressed", "MSCF\0\0\0\0\xe8\3\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0"
                                               "\3\1"),
    TEXT("application/vnd.debian.binary-package",
         "!<arch>\ndebian-binary   1410122664  0     0     100644  4         `\n2.0\n"),
    TEXT("application/zip", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    BYTES("application/zip", "PK\7\x08PK\3\4\x14\0\0\0\x08\0"),
    /* pictures */
    BYTES("image/png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0"),
    BYTES("image/jpeg", "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"),
    BYTES("image/jpeg", "\xff\xd8\xff\xe1\x12\x34"
                        "Exif\0\0MM\0*"),
    BYTES("image/jpeg", "\xff\xd8\xff\xdb\0\x43"),
    BYTES("image/gif", "GIF87a\1\0\1\0\0\0\0"),
    TEXT("image/gif", "GIF89a\1\0\1\0\0\0\0"),
    BYTES("image/webp", "RIFF\x20\0\0\0WEBPVP8 "),
    BYTES("image/tiff", "II*\0\x08\0\0\0"),
    BYTES("image/tiff", "MM\0*\0\0\0\x08"),
    BYTES("image/tiff", "II+\0\x08\0\0\0"),
    BYTES("image/bmp", "BM\xe8\3\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x0a\0\0\0\x0a\0\0\0\1\0\x18\0"),
    BYTES("image/bmp", "BM\xe8\3\0\0\0\0\0\0\x36\0\0\0\x7c\0\0\0\x0a\0\0\0\x0a\0\0\0\1\0\x18\0"),
    TEXT("text/plain", "BM is a text, too\n"),
    BYTES("image/vnd.microsoft.icon", "\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0"),
    BYTES("image/heic", "\0\0\0\x18"
                        "ftypheic\0\0\0\0mif1heic"),
    BYTES("image/heif", "\0\0\0\x18"
                        "ftypmif1\0\0\0\0mif1heic"),
    BYTES("image/avif", "\0\0\0\x1c"
                        "ftypavif\0\0\0\0avifmif1miaf"),
    BYTES("image/vnd.adobe.photoshop", "8BPS\0\1\0\0\0\0\0\0\0\3"),
    BYTES("image/jp2", "\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14"
                       "ftypjp2 "),
    BYTES("image/jxl", "\xff\x0a"),
    BYTES("image/wmf", "\xd7\xcd\xc6\x9a\0\0"),
    TEXT("image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>\n"),
    TEXT("image/svg+xml", "<?xml version=\"1.0\"?>\n<!-- made by hand -->\n<svg/>\n"),
    TEXT("image/svg+xml", "<?xml version=\"1.0\"?>\n"
                          "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x.dtd\">\n<svg>"),
    TEXT("image/svg+xml", "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\">\n<svg>"),
    /* sound and film */
    BYTES("audio/mpeg", "\xff\xfb\x90\x64"),
    BYTES("audio/mpeg", "\xff\xf3\x40\xc4"),
    SAMPLE("audio/mpeg", "ID3\4\0\0\0\1\x10\x10TIT2", FILLED | OURS), /* a large picture inside */
    BYTES("audio/x-hx-aac-adts", "\xff\xf1\x50\x80"),
    BYTES("audio/x-wav", "RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\1\0\2\0"),
    BYTES("video/x-msvideo", "RIFF\x24\x10\0\0AVI LIST"),
    BYTES("audio/ogg", "OggS\0\2\0\0\0\0\0\0\0\0\1\2\3\4\0\0\0\0\1\2\3\4\1\x1e\1vorbis\0\0\0\0\2"),
    BYTES("audio/ogg", "OggS\0\2\0\0\0\0\0\0\0\0\1\2\3\4\0\0\0\0\1\2\3\4\1\x13OpusHead\1\2"),
    BYTES("video/ogg", "OggS\0\2\0\0\0\0\0\0\0\0\1\2\3\4\0\0\0\0\1\2\3\4\1\x2a\x80theora\3\2"),
    BYTES("audio/flac", "fLaC\0\0\0\x22\x10\0\x10\0"),
    BYTES("audio/midi", "MThd\0\0\0\6\0\1\0\2\1\xe0"),
    BYTES("audio/x-aiff", "FORM\0\0\x10\0AIFFCOMM"),
    BYTES("audio/amr", "#!AMR\n"),
    BYTES("audio/x-m4a", "\0\0\0\x20"
                         "ftypM4A \0\0\2\0M4A mp42isom"),
    BYTES("video/mp4", "\0\0\0\x20"
                       "ftypisom\0\0\2\0isomiso2avc1mp41"),
    BYTES("video/mp4", "\0\0\0\x18"
                       "ftypmp42\0\0\0\0mp42isom"),
    BYTES("video/3gpp", "\0\0\0\x18"
                        "ftyp3gp4\0\0\0\0isom3gp4"),
    BYTES("video/quicktime", "\0\0\0\x14"
                             "ftypqt  \0\0\2\0qt  "),
    BYTES("video/quicktime", "\0\0\x10\x20moov\0\0\0\x6cmvhd"),
    BYTES("video/webm", "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\xf7\x81\1\x42\xf2\x81\4\x42\xf3"
                        "\x81\x08\x42\x82\x84webm\x42\x87\x81\4"),
    BYTES("video/x-matroska", "\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1\x42\xf7\x81\1\x42\xf2\x81\4\x42"
                              "\xf3\x81\x08\x42\x82\x88matroska\x42\x87\x81\4"),
    BYTES("video/x-ms-asf", "\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"),
    BYTES("video/mpeg", "\0\0\1\xba\x44\0\4\0\4\1"),
    /* drawings, fonts, programs, databases */
    BYTES("image/vnd.dwg", "AC1015\0\0\0\0\0\0\1"),
    BYTES("image/vnd.dwg", "AC1032\0\0\0\0\0\0\1"),
    TEXT("image/vnd.dxf", "  0\nSECTION\n  2\nHEADER\n  9\n$ACADVER\n  1\nAC1015\n"),
    TEXT("image/vnd.dxf", "0\r\nSECTION\r\n2\r\nHEADER\r\n9\r\n$ACADVER\r\n"),
    BYTES("font/sfnt", "\0\1\0\0\0\x0c\0\x80\0\3\0\x40"
                       "DSIG"),
    BYTES("application/vnd.ms-opentype", "OTTO\0\x0b\0\x80\0\3\0\x30"
                                         "CFF "),
    BYTES("font/woff", "wOFF\0\1\0\0\0\0\x10\0"),
    BYTES("font/woff2", "wOF2\0\1\0\0\0\0\x10\0"),
    BYTES("application/x-executable", "\x7f"
                                      "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\x3e\0\1\0\0\0"),
    BYTES("application/x-sharedlib", "\x7f"
                                     "ELF\1\2\1\0\0\0\0\0\0\0\0\0\0\3\0\x08\0\0\0\1"),
    BYTES("application/x-dosexec", "MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0"),
    BYTES("application/vnd.microsoft.portable-executable",
          "MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\0\0\0"
          "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0PE\0\0\x64\x86\3\0\0\0\0\0\0\0"
          "\0\0\0\0\0\0\xf0\0\x22\0\x0b\2"),
    TEXT("text/plain", "MZ is no program here\n"),
    BYTES("application/x-mach-binary", "\xcf\xfa\xed\xfe\7\0\0\1\3\0\0\0\2\0\0\0\x0a\0\0\0"),
    BYTES("application/x-mach-binary", "\xca\xfe\xba\xbe\0\0\0\2\1\0\0\7\0\0\0\3\0\0\x10\0"),
    BYTES("application/x-java-applet", "\xca\xfe\xba\xbe\0\0\0\x34"),
    BYTES("application/vnd.sqlite3", "SQLite format 3\0\x10\0\1\1\0\x40\x20\x20"),
    /* HTML and XML */
    TEXT("text/html", "<!DOCTYPE html>\n<html><head><title>x</title></head></html>\n"),
    TEXT("text/html", "<!doctype html><p>x"),
    TEXT("text/html", "<HTML><BODY>x"),
    TEXT("text/html", "<html lang=\"en\">\n<body>"),
    TEXT("text/html", "\n\n  \n<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">\n"),
    TEXT("text/html", "<!-- a comment\nof two lines -->\n<html>\n"),
    TEXT("text/html", "Words come first.\n<script>alert(1)</script>\n"),
    TEXT("text/html", "\xef\xbb\xbf<!DOCTYPE html>\n"),
    TEXT("text/html", "<head>\r\n<title>K\xf6ln</title>\r\n"),
    SAMPLE("text/html", "<!DOCTYPE html>\r\n<html>\r\n", UTF16),
    TEXT("text/plain", "<headline> is no head, and 1 < 2\n"),
    TEXT("text/plain", "<p>a part of a page</p>\n"),
    TEXT("text/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<invoice><a/></invoice>\n"),
    TEXT("text/xml", "<?xml version='1.0'?>\n<x/>\n"),
    TEXT("text/xml", "\xef\xbb\xbf<?xml version=\"1.0\"?>\n<x/>\n"),
    SAMPLE("text/xml", "<?xml version=\"1.0\"?>\r\n<x/>\r\n", UTF16),
    TEXT("text/xml", "<?xml version=\"1.0\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">"),
    TEXT("text/plain", "<invoice><a/></invoice>\n"),
    /* mail, cards, calendars, signatures */
    TEXT("message/rfc822", "From: a@b.example\r\nTo: c@d.example\r\nSubject: x\r\n\r\nhello\r\n"),
    TEXT("message/rfc822", "Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\nFrom: a\n\nx"),
    TEXT("message/rfc822", "Return-Path: <a@b.example>\nReceived: x\n\nx"),
    TEXT("message/rfc822", "Date: Mon, 1 Jan 2024 00:00:00 +0000\nFrom: a@b.example\n\nx"),
    TEXT("message/rfc822", "Delivered-To: a@b.example\nReceived: x\n"),
    TEXT("text/plain", "From a@b.example Mon Jan  1 00:00:00 2024\nFrom: x\n\nx\n"),
    TEXT("text/vcard", "BEGIN:VCARD\r\nVERSION:4.0\r\nEND:VCARD\r\n"),
    TEXT("text/vcard", "begin:vcard\nversion:2.1\n"),
    SAMPLE("text/vcard",
           "\xef\xbb\xbf"
           "BEGIN:VCARD\r\nVERSION:3.0\r\n",
           OURS),
    TEXT("text/calendar", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"),
    TEXT("text/vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n"),
    TEXT("application/pgp-encrypted", "-----BEGIN PGP MESSAGE-----\n\nhQEMA"),
    TEXT("application/pgp-keys", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENB"),
    TEXT("application/pgp-signature", "-----BEGIN PGP SIGNATURE-----\n\niQEzB"),
    TEXT("text/pgp", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n"),
    TEXT("text/plain", "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0B\n"),
    TEXT("text/plain", "-----BEGIN RSA PRIVATE KEY-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG\n"),
    /* scripts */
    TEXT("text/x-shellscript", "#!/bin/sh\necho python\n"),
    TEXT("text/x-shellscript", "#! /usr/bin/env bash\necho\n"),
    SAMPLE("text/x-shellscript", "#!/bin/dash\nx=1\n", OURS),
    TEXT("text/x-script.python", "#!/usr/bin/env python3\n# not for /bin/sh\n"),
    TEXT("text/x-perl", "#!/usr/bin/perl -w\nuse strict;\n"),
    TEXT("text/x-ruby", "#!/usr/bin/env ruby\nputs 1\n"),
    TEXT("application/javascript", "#!/usr/bin/env node\nlet x;\n"),
    TEXT("text/x-php", "<?php\necho 1;\n"),
    TEXT("text/x-msdos-batch", "@echo off\r\ncopy a b\r\n"),
    TEXT("text/plain", "#!/opt/own/program\nx\n"),
    SAMPLE("text/plain", "#include <stdio.h>\nint main(void) { return 0; }\n", OURS),
    /* tables and JSON */
    TEXT("text/csv", "a,b,c\n1,2,3\n4,5,6\n"),
    TEXT("text/csv", "\"a\",\"b,c\"\r\n\"1\",\"2\"\r\n\"3\",\"4\"\r\n"),
    TEXT("text/csv", "\xef\xbb\xbf"
                     "a,b\n1,2\n3,4\n"),
    SAMPLE("text/csv", "a,b\r\n1,2\r\n3,4\r\n", UTF16),
    TEXT("text/plain", "a;b;c\n1;2;3\n4;5;6\n"),
    TEXT("application/json", "{\"a\": [1, 2, {\"b\": null}]}\n"),
    TEXT("application/json", "[\n  {\"a\": 1},\n  {\"a\": 2}\n]\n"),
    TEXT("application/json", "[]"),
    TEXT("application/x-ndjson", "{\"a\":1}\n{\"a\":2}\n"),
    TEXT("text/plain", "{\"a\":1}x"),
    TEXT("text/plain", "12"),
    /* text, and what is nothing */
    TEXT("text/plain", "hello world\n"),
    TEXT("text/plain", "one line without an end"),
    TEXT("text/plain", "ab"),
    TEXT("text/plain", "Gr\xc3\xbc\xc3\x9f"
                       "e aus K\xc3\xb6ln\n"),
    TEXT("text/plain", "Gr\xfc\xdf"
                       "e aus K\xf6ln\n"),
    TEXT("text/plain", "\xef\xbb\xbfhello\n"),
    TEXT("text/plain", "\x1b[31mred\x1b[0m\n"),
    TEXT("text/plain", "a\rb\rc\r"),
    SAMPLE("text/plain", "Hello\r\n", UTF16),
    TEXT("application/octet-stream", "hello\0world\n"),
    TEXT("application/octet-stream", "a"),
    TEXT("application/octet-stream", ""),
    TEXT("application/octet-stream", "\x01\x02\x03\xff\xfe\x00\x80"),
    BYTES("application/octet-stream", ""),
};

/* ZIP files: the names of the first entries, which are deflated but for the first's text. */
static const struct {
    const char *type;
    const char *text; /* of the first entry, stored; NULL: deflated like the others */
    const char *names[6];
    unsigned how;
} zip_samples[] = {
    {DOCX, NULL, {"[Content_Types].xml", "_rels/.rels", "word/document.xml"}},
    {DOCX, NULL, {"[Content_Types].xml", "_rels/.rels", "docProps/app.xml", "word/document.xml"}},
    {DOCX, NULL, {"word/document.xml", "[Content_Types].xml"}},
    {DOCX, NULL, {"_rels/.rels", "[Content_Types].xml", "word/document.xml"}, OURS},
    {DOCX, NULL, {"docProps/app.xml", "docProps/core.xml", "word/_rels/document.xml.rels"}, OURS},
    {DOCX, NULL, {"[Content_Types].xml", "_rels/.rels", "word/embeddings/a.xlsx"}},
    {XLSX, NULL, {"[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"}},
    {XLSX, NULL, {"xl/worksheets/sheet1.xml", "[Content_Types].xml"}},
    {XLSX, NULL, {"_rels/.rels", "docProps/app.xml", "xl/styles.xml"}, OURS},
    {PPTX, NULL, {"[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml"}},
    {PPTX, NULL, {"_rels/.rels", "ppt/slides/slide1.xml"}, OURS},
    {"application/vnd.ms-visio.drawing.main+xml",
     NULL,
     {"[Content_Types].xml", "_rels/.rels", "visio/document.xml"}},
    {ODF "text", ODF "text", {"mimetype", "content.xml"}},
    {ODF "text-template", ODF "text-template", {"mimetype", "content.xml"}},
    {ODF "spreadsheet", ODF "spreadsheet", {"mimetype", "Configurations2/"}},
    {ODF "presentation", ODF "presentation", {"mimetype", "content.xml"}},
    {ODF "graphics", ODF "graphics", {"mimetype", "content.xml"}},
    {"application/vnd.sun.xml.writer", "application/vnd.sun.xml.writer", {"mimetype", "a.xml"}},
    {"application/epub+zip", "application/epub+zip", {"mimetype", "META-INF/container.xml"}},
    {"application/zip", "application/x-something", {"mimetype", "a"}},
    {"application/zip", "text/plain", {"mimetype", "a"}},
    {"application/zip", "hello", {"a.txt", "b.txt"}},
    {"application/zip", NULL, {"a.txt"}},
    {"application/zip", NULL, {"[Content_Types].xml", "_rels/.rels", "3D/3dmodel.model"}},
    {"application/zip", NULL, {"META-INF/MANIFEST.MF", "a.class"}},
};

/* Office 97: the name of a stream; NULL: the directory is not among the first bytes. */
static const struct {
    const char *type;
    const char *stream;
} cdf_samples[] = {
    {"application/msword", "WordDocument"},
    {"application/vnd.ms-excel", "Workbook"},
    {"application/vnd.ms-outlook", "__properties_version1.0"},
    {"application/encrypted", "EncryptedPackage"},
    {"application/x-ole-storage", "Something"},
    {"application/x-ole-storage", NULL},
};

#endif
