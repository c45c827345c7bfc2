#include "s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/clock.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;

ByteView doc(const std::string& text) { return as_bytes(text); }

TEST(Xml, ErrorDocuments) {
  const auto error =
      parse_error(doc("<?xml version=\"1.0\" "
                      "encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region "
                      "&apos;x&apos; is wrong &amp; so "
                      "on</Message><Region>eu-west-1</Region><RequestId>4442587FB7D0A2F9</RequestId></Error>"));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(error->message, "the region 'x' is wrong & so on");
  EXPECT_EQ(error->region, "eu-west-1");
  EXPECT_EQ(error->request_id, "4442587FB7D0A2F9");
  // Keep-alive white space before a document: what a long complete sends.
  EXPECT_TRUE(parse_error(doc("   \n  <Error><Code>InternalError</Code></Error>")));
  for (const char* text : {"", "<html><body>Not Found</body></html>", "<Errors/>", "Error", "<Error><Code>"})
    EXPECT_FALSE(parse_error(doc(text))) << text;
}

TEST(Xml, ListsOfObjects) {
  const auto page = parse_objects(
      doc("<ListBucketResult "
          "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><EncodingType>url</EncodingType>"
          "<IsTruncated>true</IsTruncated><NextContinuationToken>to+ken/=</NextContinuationToken>"
          "<Contents><Key>a+b%2Bc/%C3%A9%0A</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
          "<ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size></Contents>"
          "<Contents><Key>z</Key><Size>0</Size><ETag>\"x-2\"</ETag></Contents></ListBucketResult>"));
  ASSERT_TRUE(page) << page.error().message();
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "a b+c/\xc3\xa9\n");
  EXPECT_EQ(page->objects[0].etag, "fba9dede5f27731c9771645a39863328");
  EXPECT_EQ(page->objects[0].size_bytes, 434234u);
  EXPECT_EQ(page->objects[0].modified_ms, *parse_time("2009-10-12T17:50:30Z"));
  EXPECT_EQ(page->objects[1].etag, "x-2");
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_token, "to+ken/=");
}

TEST(Xml, KeysThatWereNotEncodedAreTakenAsTheyAre) {
  const auto page =
      parse_objects(doc("<ListBucketResult><Contents><Key>a+b%2B</Key><Size>1</Size></Contents></ListBucketResult>"));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->objects[0].key, "a+b%2B");
  EXPECT_FALSE(page->truncated);
}

TEST(Xml, NamesMayHaveAPrefix) {
  const auto page = parse_objects(
      doc("<s3:ListBucketResult xmlns:s3=\"x\"><s3:Contents><s3:Key>k</s3:Key><s3:Size>1</s3:Size></s3:Contents>"
          "</s3:ListBucketResult>"));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->objects.at(0).key, "k");
}

TEST(Xml, ListsOfParts) {
  const auto page =
      parse_parts(doc("<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>"
                      "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag><Size>5242880</Size></Part>"
                      "<Part><PartNumber>7</PartNumber><ETag>\"b\"</ETag><Size>3</Size></Part></ListPartsResult>"));
  ASSERT_TRUE(page);
  ASSERT_EQ(page->parts.size(), 2u);
  EXPECT_EQ(page->parts[1].number, 7);
  EXPECT_EQ(page->parts[1].etag, "b");
  EXPECT_EQ(page->parts[1].size_bytes, 3u);
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_marker, "7");
}

TEST(Xml, ListsOfUploads) {
  const auto page = parse_uploads(
      doc("<ListMultipartUploadsResult><EncodingType>url</EncodingType><NextKeyMarker>a%2Fb</NextKeyMarker>"
          "<NextUploadIdMarker>id+2</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
          "<Upload><Key>a%20b</Key><UploadId>id+1</UploadId><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>"
          "</ListMultipartUploadsResult>"));
  ASSERT_TRUE(page);
  ASSERT_EQ(page->uploads.size(), 1u);
  EXPECT_EQ(page->uploads[0].key, "a b");
  EXPECT_EQ(page->uploads[0].upload_id, "id+1");
  EXPECT_EQ(page->uploads[0].begun_ms, *parse_time("2010-11-10T20:48:33Z"));
  EXPECT_EQ(page->next_key, "a/b");
  EXPECT_EQ(page->next_id, "id+2");
}

TEST(Xml, SmallAnswers) {
  EXPECT_EQ(*parse_upload_id(doc("<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>VX/=+</UploadId>"
                                 "</InitiateMultipartUploadResult>")),
            "VX/=+");
  EXPECT_EQ(*parse_etag_of_copy(doc("<CopyPartResult><ETag>\"9b2c\"</ETag></CopyPartResult>")), "9b2c");
  EXPECT_EQ(*parse_etag_of_object(doc("  \n<CompleteMultipartUploadResult><ETag>&quot;3858-2&quot;</ETag>"
                                      "</CompleteMultipartUploadResult>")),
            "3858-2");
}

TEST(Xml, WhatWasNotDeleted) {
  const auto all = parse_not_deleted(
      doc("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Deleted><Key>a</Key></Deleted>"
          "<Error><Key> b&amp;c </Key><VersionId>v</VersionId><Code>AccessDenied</Code><Message>no</Message></Error>"
          "</DeleteResult>"));
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].key, " b&c ");
  EXPECT_EQ((*all)[0].error.code, "AccessDenied");
  EXPECT_EQ((*all)[0].error.message, "no");
  EXPECT_TRUE(parse_not_deleted(doc("<DeleteResult/>"))->empty());
  for (const char* text : {"", "<Other/>", "<DeleteResult>", "<DeleteResult><Error><Key>a</Key></Error></DeleteResult>",
                           "<DeleteResult><Error><Code>a</Code></Error></DeleteResult>"}) {
    ASSERT_FALSE(parse_not_deleted(doc(text))) << text;
    EXPECT_EQ(parse_not_deleted(doc(text)).error().kind(), ErrorKind::corrupt) << text;
  }
}

TEST(Xml, WhatIsNotWhatWasAskedForIsCorrupt) {
  const std::vector<std::string> wrong{
      "",
      "no xml",
      "<ListBucketResult>",
      "<Other/>",
      "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
      "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
      "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
      "<ListBucketResult><Contents><Key>a</Key><Size>99999999999999999999999</Size></Contents></ListBucketResult>",
      "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size></Contents>"
      "</ListBucketResult>"};
  for (const std::string& text : wrong) {
    ASSERT_FALSE(parse_objects(doc(text))) << text;
    EXPECT_EQ(parse_objects(doc(text)).error().kind(), ErrorKind::corrupt);
    EXPECT_FALSE(parse_upload_id(doc(text)));
    EXPECT_FALSE(parse_etag_of_object(doc(text)));
  }
  EXPECT_FALSE(
      parse_parts(doc("<ListPartsResult><Part><PartNumber>0</PartNumber><Size>1</Size></Part></ListPartsResult>")));
  EXPECT_FALSE(parse_parts(
      doc("<ListPartsResult><Part><PartNumber>10001</PartNumber><Size>1</Size></Part></ListPartsResult>")));
  EXPECT_FALSE(
      parse_uploads(doc("<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>")));
}

// Over plain http nothing else guards a list: a bit that is flipped on its way must never make it another list, but for
// the one value in which it lies.
class FlippedList : public ::testing::Test {
 protected:
  // How many flips of one bit were noticed, and how many were not; of these each changes at most one value.
  template <class Page, class Values>
  void flip_each_bit(const std::string& text, Result<Page> (*parse)(ByteView), const Values& values_of) {
    const auto whole = parse(doc(text));
    ASSERT_TRUE(whole) << whole.error().message();
    const std::vector<std::string> expected = values_of(*whole);
    for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
      std::string flipped = text;
      flipped[bit / 8] = static_cast<char>(static_cast<unsigned char>(flipped[bit / 8]) ^ (1u << bit % 8));
      const auto page = parse(doc(flipped));
      if (!page) {
        EXPECT_EQ(page.error().kind(), ErrorKind::corrupt);
        ++noticed_;
        continue;
      }
      const std::vector<std::string> values = values_of(*page);
      ASSERT_EQ(values.size(), expected.size()) << flipped;
      int differ = 0;
      for (std::size_t i = 0; i < values.size(); ++i) differ += values[i] == expected[i] ? 0 : 1;
      EXPECT_LE(differ, 1) << flipped;
    }
    EXPECT_GT(noticed_, text.size());
  }

  std::size_t noticed_ = 0;
};

TEST_F(FlippedList, OfObjectsIsNoShorterOne) {
  flip_each_bit(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "<Name>b</Name><Prefix>wal%2F</Prefix><NextContinuationToken>t</NextContinuationToken><MaxKeys>2</MaxKeys>"
      "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<Contents><Key>wal%2F1</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified><ETag>&quot;a&quot;</ETag>"
      "<Size>43</Size></Contents><Contents><Key>wal%2F2</Key><LastModified>2009-10-12T17:50:31.000Z</LastModified>"
      "<ETag>&quot;b&quot;</ETag><Size>44</Size></Contents></ListBucketResult>",
      parse_objects, [](const ObjectsPage& page) {
        std::vector<std::string> values{page.next_token, page.truncated ? "more" : "all"};
        for (const ObjectInfo& one : page.objects) {
          values.insert(values.end(),
                        {one.key, std::to_string(one.size_bytes), one.etag, std::to_string(one.modified_ms)});
        }
        EXPECT_TRUE(page.truncated);
        for (const ObjectInfo& one : page.objects) EXPECT_GT(one.modified_ms, 0);
        return values;
      });
}

TEST_F(FlippedList, OfPartsIsNoShorterOne) {
  flip_each_bit("<ListPartsResult><NextPartNumberMarker>7</NextPartNumberMarker><IsTruncated>false</IsTruncated>"
                "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag><Size>5242880</Size></Part>"
                "<Part><PartNumber>7</PartNumber><ETag>\"b\"</ETag><Size>3</Size></Part></ListPartsResult>",
                parse_parts, [](const PartsPage& page) {
                  std::vector<std::string> values{page.next_marker, page.truncated ? "more" : "all"};
                  for (const PartInfo& one : page.parts) {
                    values.insert(values.end(), {std::to_string(one.number), one.etag, std::to_string(one.size_bytes)});
                  }
                  EXPECT_FALSE(page.truncated);
                  return values;
                });
}

TEST_F(FlippedList, OfUploadsIsNoShorterOne) {
  flip_each_bit("<ListMultipartUploadsResult><EncodingType>url</EncodingType><NextKeyMarker>a%2Fb</NextKeyMarker>"
                "<NextUploadIdMarker>id</NextUploadIdMarker><IsTruncated>true</IsTruncated><Upload><Key>a%20b</Key>"
                "<UploadId>id1</UploadId><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>"
                "</ListMultipartUploadsResult>",
                parse_uploads, [](const UploadsPage& page) {
                  std::vector<std::string> values{page.next_key, page.next_id, page.truncated ? "more" : "all"};
                  for (const UploadInfo& one : page.uploads) {
                    values.insert(values.end(), {one.key, one.upload_id, std::to_string(one.begun_ms)});
                    EXPECT_GT(one.begun_ms, 0);
                  }
                  EXPECT_TRUE(page.truncated);
                  return values;
                });
}

TEST(Xml, NoEntityOfADocumentIsExpanded) {
  const std::string bomb =
      "<?xml version=\"1.0\"?><!DOCTYPE Error [<!ENTITY a \"boom\"><!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
      "<Error><Code>&a;&x;</Code></Error>";
  const auto error = parse_error(doc(bomb));
  if (error) {
    EXPECT_EQ(error->code.find("boom"), std::string::npos);
    EXPECT_EQ(error->code.find("root"), std::string::npos);
  }
}

TEST(Xml, WhatIsSent) {
  const std::vector<PartInfo> parts{{1, "a\"<b", 5}, {3, "c", 6}};
  EXPECT_THAT(complete_document(parts),
              HasSubstr("<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;&lt;b&quot;</ETag></Part>"
                        "<Part><PartNumber>3</PartNumber><ETag>&quot;c&quot;</ETag></Part>"));
  EXPECT_THAT(delete_document(std::vector<std::string>{"a<&>", " b "}),
              HasSubstr("<Quiet>true</Quiet><Object><Key>a&lt;&amp;&gt;</Key></Object>"
                        "<Object><Key> b </Key></Object>"));
  EXPECT_THAT(bucket_document("eu-west-1"), HasSubstr("<LocationConstraint>eu-west-1</LocationConstraint>"));
}

TEST(HttpDate, IsReadOrRefused) {
  EXPECT_EQ(parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT"), *parse_time("2015-10-21T07:28:00Z"));
  EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  for (const char* text : {"", "yesterday", "Wed, 21 Xxx 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00",
                           "Wed, 41 Oct 2015 07:28:00 GMT", "2015-10-21T07:28:00Z"})
    EXPECT_EQ(parse_http_date(text), std::nullopt) << text;
}

TEST(Etags, LoseTheirQuotes) {
  EXPECT_EQ(without_quotes("\"a\""), "a");
  EXPECT_EQ(without_quotes("a"), "a");
  EXPECT_EQ(without_quotes("\""), "\"");
  EXPECT_EQ(without_quotes(""), "");
}

}  // namespace
}  // namespace cairn::s3
