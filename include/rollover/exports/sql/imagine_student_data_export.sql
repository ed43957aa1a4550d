-- Year-to-date usage and results of all students, one row per student. The accounts are those of the current
-- year; of a past year only the activity is left.
WITH students AS (
    SELECT school_id, account_id FROM PRODUCT.student_accounts WHERE %(is_current)s
    UNION SELECT school_id, account_id FROM PRODUCT.usage WHERE school_year = %(school_year)s
    UNION SELECT school_id, account_id FROM PRODUCT.progress WHERE school_year = %(school_year)s
    UNION SELECT school_id, account_id FROM PRODUCT.assessments WHERE school_year = %(school_year)s
), used AS (
    SELECT account_id, sum(minutes) AS minutes, sum(problems) AS problems, count(*) AS weeks
    FROM PRODUCT.usage WHERE school_year = %(school_year)s GROUP BY account_id
), results AS (
    SELECT account_id, string_agg(pathway, ', ' ORDER BY pathway) AS pathways,
           sum(lessons_assigned) AS lessons_assigned, sum(lessons_passed) AS lessons_passed,
           round(avg(average_score), 2) AS average_score
    FROM PRODUCT.progress WHERE school_year = %(school_year)s GROUP BY account_id
), tests AS (
    SELECT account_id, count(*) AS tests_taken,
           (array_agg(score ORDER BY taken_on, assessment_id))[1] AS first_score,
           (array_agg(score ORDER BY taken_on DESC, assessment_id DESC))[1] AS last_score
    FROM PRODUCT.assessments WHERE school_year = %(school_year)s GROUP BY account_id
)
SELECT s.name               AS "School",
       t.account_id         AS "Account",
       p.family_name        AS "Last name",
       p.given_name         AS "First name",
       a.grade              AS "Grade",
       a.band               AS "Grade band",
       u.minutes            AS "Minutes",
       u.problems           AS "Problems",
       u.weeks              AS "Weeks active",
       r.pathways           AS "Pathways",
       r.lessons_assigned   AS "Lessons assigned",
       r.lessons_passed     AS "Lessons passed",
       r.average_score      AS "Average score",
       e.tests_taken        AS "Tests taken",
       e.first_score        AS "First score",
       k.points             AS "THINK Points", -- only imagine_math
       e.last_score         AS "Last score"
FROM students t
JOIN directory.schools s ON s.school_id = t.school_id
LEFT JOIN PRODUCT.student_accounts a ON a.account_id = t.account_id
LEFT JOIN roster.people p ON p.sourced_id = a.person_id
LEFT JOIN used u ON u.account_id = t.account_id
LEFT JOIN results r ON r.account_id = t.account_id
LEFT JOIN tests e ON e.account_id = t.account_id
LEFT JOIN PRODUCT.think_points k ON k.account_id = t.account_id AND %(is_current)s -- only imagine_math
ORDER BY s.name, p.family_name, p.given_name, t.account_id
